// Result of `nsp denoise` for other strengths, in 8-bit sRGB: before + luma · Y + chroma · (change − Y), where change is
// after − before, Y is its luma (Rec. 601), and luma and chroma are fractions of the look that `after` was made with.
function blend(before, after, luma, chroma) {
  const result = new Uint8ClampedArray(before.length); // rounds to the nearest
  for (let i = 0; i < before.length; i += 4) {
    const change = [after[i] - before[i], after[i + 1] - before[i + 1], after[i + 2] - before[i + 2]];
    const y = 0.299 * change[0] + 0.587 * change[1] + 0.114 * change[2];
    for (let c = 0; c < 3; c++) result[i + c] = before[i + c] + luma * y + chroma * (change[c] - y);
    result[i + 3] = 255;
  }
  return result;
}

function pixels(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function loaded(image) {
  image.loading = "eager";
  return image.complete ? undefined : new Promise((done) => image.addEventListener("load", done, { once: true }));
}

// A crop whose look follows the form's sliders. It reads its pictures when it comes into view for the first time.
class Crop {
  constructor(box) {
    this.box = box;
    this.most = box.closest("article").dataset;
  }

  get visible() {
    const place = this.box.getBoundingClientRect();
    return place.bottom > -200 && place.top < innerHeight + 200;
  }

  async show(strengths) {
    this.strengths = strengths;
    if (!this.visible) return; // the observer calls again when it comes into view
    if (!this.canvas) {
      const images = ["before", "after"].map((kind) => this.box.querySelector("img." + kind));
      await Promise.all(images.map(loaded));
      if (this.canvas) return;
      [this.before, this.after] = images.map(pixels);
      this.canvas = document.createElement("canvas");
      this.canvas.width = this.before.width;
      this.canvas.height = this.before.height;
      images[1].after(this.canvas);
    }
    const part = (name) => {
      const most = Number(this.most[name]);
      return most > 0 ? Math.min(this.strengths[name], most) / most : 0;
    };
    const strength = part("strength");
    const result = blend(this.before.data, this.after.data, strength * part("luma"), strength * part("chroma"));
    this.canvas.getContext("2d").putImageData(new ImageData(result, this.canvas.width, this.canvas.height), 0, 0);
  }
}

function followSliders(form) {
  const ranges = [...form.querySelectorAll("input")];
  const code = form.querySelector("code");
  const command = code.textContent;
  const strengths = () => Object.fromEntries(ranges.map((range) => [range.name, Number(range.value)]));
  const crops = [...document.querySelectorAll(".compare.crop")].map((box) => new Crop(box));
  const changed = () => ranges.some((range) => Number(range.value) !== Number(range.max));
  const show = () => {
    const values = strengths();
    for (const range of ranges) range.nextElementSibling.value = range.value;
    const isGiven = (range) => Number(range.value) !== 100 || command.includes(` --${range.name} `);
    const flags = ranges.filter(isGiven).map((range) => `--${range.name} ${range.value}`);
    code.textContent = changed() ? [command.replace(/ --(strength|luma|chroma) \S+/g, ""), ...flags].join(" ") : command;
    for (const crop of crops) crop.show(values);
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const crop = crops.find((one) => one.box === entry.target);
      if (entry.isIntersecting && (crop.canvas || changed())) crop.show(strengths());
    }
  }, { rootMargin: "200px" });
  for (const crop of crops) watcher.observe(crop.box);
  form.addEventListener("input", show);
  form.querySelector("button").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(code.textContent);
    event.target.textContent = "Copied";
  });
  const set = (values) => {
    for (const range of ranges) range.value = values[range.name] ?? range.value;
    show();
  };
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (Object.keys(given).length) set(given);
  return set;
}

function followDivider(box) {
  const range = box.querySelector("input");
  const tags = ["left", "right"].map((side, index) => {
    const tag = document.createElement("span");
    tag.className = "tag " + side;
    tag.textContent = document.body.dataset[side];
    tag.setAttribute("aria-hidden", "true");
    return box.appendChild(tag);
  });
  const show = () => {
    box.style.setProperty("--at", range.value + "%");
    tags[0].hidden = range.value < 25;
    tags[1].hidden = range.value > 75;
    range.setAttribute("aria-valuetext", range.value + " % " + document.body.dataset.left);
  };
  range.addEventListener("input", show);
  show();
}

// The votes of a blind comparison: data-models has the two names, data-order which of them is left and which right.
function followVotes(cards, outcome) {
  const models = JSON.parse(document.body.dataset.models);
  const votes = new Map();
  const buttons = (card) => [...card.querySelectorAll(".votes button")];
  const reveal = () => {
    const wins = [0, 0];
    for (const [card, vote] of votes) if (vote < 2) wins[card.dataset.order[vote]]++;
    const none = votes.size - wins[0] - wins[1];
    outcome.textContent = `${models[0]} ${wins[0]}, ${models[1]} ${wins[1]}, no difference ${none}`;
    for (const card of cards) {
      const names = [...card.dataset.order].map((index) => models[index]);
      card.querySelectorAll(".tag").forEach((tag, index) => (tag.textContent = names[index % 2]));
      for (const button of buttons(card)) button.disabled = true;
    }
  };
  const count = () => (outcome.textContent = `${votes.size} of ${cards.length} photos judged`);
  const vote = (card, value) => {
    if (votes.size === cards.length) return;
    votes.set(card, value);
    for (const button of buttons(card)) button.setAttribute("aria-pressed", Number(button.value) === value);
    if (votes.size === cards.length) reveal();
    else count();
  };
  for (const card of cards)
    for (const button of buttons(card)) button.addEventListener("click", () => vote(card, Number(button.value)));
  count();
  return vote;
}

function followKeys(set, vote) {
  const boxes = [...document.querySelectorAll(".compare")];
  const cards = [...document.querySelectorAll("article")];
  const step = (by) => {
    const strength = document.querySelector(".look [name=strength]");
    if (set) set({ strength: Number(strength.value) + by });
  };
  const current = () => cards.findIndex((card) => card.getBoundingClientRect().bottom > 120);
  const go = (by) => {
    const now = current();
    cards[Math.max(0, Math.min(cards.length - 1, now + by))]?.scrollIntoView({ behavior: "smooth" });
  };
  const keys = {
    "+": () => step(5),
    "-": () => step(-5),
    r: () => set?.(Object.fromEntries([...document.querySelectorAll(".look input")].map((one) => [one.name, one.max]))),
    j: () => go(1),
    k: () => go(-1),
    1: () => vote?.(cards[current()], 0),
    2: () => vote?.(cards[current()], 2),
    3: () => vote?.(cards[current()], 1),
    b: () => boxes.forEach((box) => box.style.setProperty("--at", "100%")),
  };
  addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) keys[event.key]?.();
  });
  addEventListener("keyup", (event) => {
    if (event.key === "b") for (const box of boxes) box.style.setProperty("--at", box.querySelector("input").value + "%");
  });
}

if (typeof document !== "undefined") {
  document.documentElement.classList.add("live");
  document.querySelectorAll(".compare").forEach(followDivider);
  const form = document.querySelector(".look");
  const votable = [...document.querySelectorAll("article[data-order]")];
  const vote = votable.length ? followVotes(votable, document.querySelector(".outcome")) : undefined;
  followKeys(form ? followSliders(form) : undefined, vote);
}

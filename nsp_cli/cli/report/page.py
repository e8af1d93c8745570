"""The report's page, for `str.format`. Without JavaScript, before and after lie side by side."""

TITLE = "<title>nsp: before and after</title>"
"""How a report is recognized."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>nsp: before and after</title>
<style>
:root {{ color-scheme: light dark; --ground: light-dark(#f6f6f4, #161616); --card: light-dark(#fff, #202020);
  --ink: light-dark(#1c1c1a, #ececea); --quiet: light-dark(#66665f, #a3a39c); --line: light-dark(#deded8, #383836);
  --wrong: light-dark(#a3231a, #ff8f85); }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 94rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ margin: 0; font-size: 1.7rem; letter-spacing: -.01em; }}
h2 {{ margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; }}
header p {{ margin: .2rem 0 1.4rem; color: var(--quiet); }}
dl {{ display: flex; flex-wrap: wrap; gap: .7rem 2.2rem; margin: 0; }}
dt {{ color: var(--quiet); font-size: .78rem; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
.numbers dd {{ font-size: 1.3rem; font-variant-numeric: tabular-nums; }}
details {{ margin-top: 1.2rem; }}
summary {{ cursor: pointer; color: var(--quiet); }}
details dl {{ margin-top: .7rem; font-size: .9rem; }}
article, .failures {{ margin-top: 1.5rem; padding: 1.2rem 1.3rem; background: var(--card); border-radius: 10px;
  border: 1px solid var(--line); }}
.failures h2 {{ color: var(--wrong); }}
.failures ul {{ margin: .5rem 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }}
.facts, .note, figcaption, footer {{ color: var(--quiet); font-size: .85rem; }}
.facts, .note {{ margin: .15rem 0 0; overflow-wrap: anywhere; }}
.note::before {{ content: "Note: "; font-weight: 600; }}
.pictures {{ display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1.2rem; margin-top: 1rem; }}
figure {{ margin: 0; width: calc(2 * var(--width) + 4px); max-width: 100%; }}
.live figure {{ width: var(--width); }}
figcaption {{ margin-top: .35rem; }}
.compare {{ position: relative; display: flex; gap: 4px; overflow: hidden; border-radius: 4px; background: #888; }}
.compare img {{ display: block; width: 100%; height: auto; min-width: 0; flex: 1; }}
.compare .after {{ order: 2; }}
.compare input {{ display: none; }}
.live .compare {{ display: block; --at: 50%; touch-action: pan-y; }}
.live .compare .before {{ position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); }}
.live .compare input {{ display: block; position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }}
.live .compare::after {{ content: ""; position: absolute; inset: 0 auto; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 4px #0009; pointer-events: none; }}
.live .compare:focus-within {{ outline: 3px solid #3b82f6; outline-offset: 2px; }}
.tag {{ display: none; }}
.live .tag {{ display: block; position: absolute; top: .5rem; padding: .05rem .5rem; border-radius: 99px;
  background: #000a; color: #fff; font-size: .75rem; pointer-events: none; }}
.tag.left {{ left: .5rem; }}
.tag.right {{ right: .5rem; }}
footer {{ margin-top: 2rem; }}
</style>
</head>
<body>
<header>
<h1>Before and after</h1>
<p>{summary}. Before is on the left, after on the right; drag, or use the arrow keys.</p>
<dl class="numbers">
{numbers}
</dl>
<details><summary>Settings</summary><dl>
{settings}
</dl></details>
</header>
{failures}
<main>
{cards}
</main>
<footer>Made by {made}. This page needs no network.</footer>
<script>
document.documentElement.classList.add("live");
for (const box of document.querySelectorAll(".compare")) {{
  const range = box.querySelector("input");
  const tags = ["left", "right"].map((side, index) => {{
    const tag = document.createElement("span");
    tag.className = "tag " + side;
    tag.textContent = index ? "after" : "before";
    tag.setAttribute("aria-hidden", "true");
    return box.appendChild(tag);
  }});
  const show = () => {{
    box.style.setProperty("--at", range.value + "%");
    tags[0].hidden = range.value < 15;
    tags[1].hidden = range.value > 85;
    range.setAttribute("aria-valuetext", range.value + " % before");
  }};
  range.addEventListener("input", show);
  show();
}}
</script>
</body>
</html>
"""

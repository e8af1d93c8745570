"""The HTML report: parsed, and looked at by a browser where there is one."""

import base64
import itertools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from icc_builders import gamma, grey_profile, lookup_profile, lookup_table, rgb_to_xyz
from PIL import Image, ImageCms

from nsp_cli.cli.batch import session
from nsp_cli.cli.batch.log import Tally
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status
from nsp_cli.cli.report.previews import Size, places_to_compare, take_previews
from nsp_cli.cli.report.report import Report
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, Metadata
from tests.cli.test_commands import Weights, run
from tests.engine.test_process import Fake

browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

VOID = {"meta", "link", "img", "input"}
HOSTILE = '<script>alert("1")</script>&\n\udcff.jpg'


class Page(HTMLParser):
    """Demands that tags are closed in order, and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Two photos, one of them enlarged and turned, with a name that wants to be a script; one failure."""
    rng = np.random.default_rng(0)
    report = Report(Recipe("nsp", "ab" * 32, {"strength": 80.0, "luma": 100.0, "chroma": 50.0, "format": None}))
    before = Frame(rng.integers(0, 256, (300, 500, 3), np.uint8))
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    grey = Frame(rng.integers(0, 65536, (90, 60, 1), np.uint16), None, Metadata(exif=exif))
    larger = grey.with_pixels(np.repeat(np.repeat(grey.pixels, 2, 0), 2, 1))
    for name, first, second in ((HOSTILE, before, before), ("b.tif", grey, larger)):
        previews = take_previews(first, second, Size(200, 96, 80, 1))
        report.add(Outcome(Path(name), Path("out", name), Status.WRITTEN, 1.5, 0.15, ("EXIF <b>.",), previews=previews))
    report.add(Outcome(Path("c.tif"), None, Status.FAILED, error="broken"))
    target = tmp_path / "report.html"
    report.write(target, Tally(3, 2, 0, ["c.tif: <i>broken</i>"], 0.3), 3.0)
    return target


def test_the_report_of_a_resumed_batch_keeps_the_earlier_cards(
    weights: Weights, noisy_photos: Path, tmp_path: Path
) -> None:
    out, page, model = tmp_path / "out", tmp_path / "r.html", weights()
    once = ("denoise", noisy_photos / "0.png", noisy_photos / "1.png", "-o", out, "-m", model, "--report", page)
    assert run(*once)[0] == 0
    assert page.read_text("utf-8").count("<article ") == 2
    assert run("denoise", noisy_photos, out, "-m", model, "--report", page)[0] == 0
    text = page.read_text("utf-8")
    assert [f">{number}.png</h2>" in text for number in range(6)] == [True] * 5 + [False]
    assert text.count("<article ") == 5
    code, said = run("denoise", noisy_photos, out, "-m", model, "--report", page)
    assert (code, page.read_text("utf-8").count("<article ")) == (0, 5)
    assert "0 of 5 photos written, 5 skipped" in said
    assert "--if-exists overwrite or rename processes them again" in said
    (out / "0.png").unlink()  # another photo's result under another name is not this report's
    assert run("denoise", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", model, "--report", page)[0] == 0
    assert page.read_text("utf-8").count("<article ") == 1


def test_the_page_is_whole_and_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in parsed.all("img"))
    assert len(parsed.all("img")) == 8
    assert len(parsed.all("article")) == 2
    assert all(image["alt"] for image in parsed.all("img"))
    labelled = [slider for slider in parsed.all("input") if slider.get("aria-label")]
    look = {slider["name"]: slider["max"] for slider in parsed.all("input") if "name" in slider}
    assert len(labelled) == 4
    assert look == {"strength": "80.0", "luma": "100.0", "chroma": "50.0"}
    assert "nsp denoise IN -o OUT -m nsp --strength 80 --chroma 50" in parsed.text
    assert len(parsed.all("script")) == 1
    for sentence in ("2 of 3 photos written, 1 failed", "c.tif: <i>broken</i>", "EXIF <b>.", "80.0", "0.10 MP/s"):
        assert sentence in parsed.text


def test_pictures_are_upright_and_no_larger_than_asked(page: Path) -> None:
    images = Page(page.read_text(encoding="utf-8")).all("img")
    sizes: list[tuple[int, int]] = []
    for image in images:
        data = base64.b64decode((image["src"] or "").split(",")[1])
        sizes.append(Image.open(BytesIO(data)).size)
        assert sizes[-1] == (int(image["width"] or 0), int(image["height"] or 0))
    assert sizes == [(200, 120)] * 2 + [(96, 96)] * 2 + [(180, 120)] * 2 + [(96, 96)] * 2


def test_crops_are_where_a_result_is_judged() -> None:
    before = np.full((700, 1200, 3), 128, np.uint8)
    before[:, 1000:] = 60
    after = before.copy()
    after[500:540, 610:650] = 140  # changed
    before[40:100, 40:100:2] = after[40:100, 40:100:2] = 255  # detail
    places = places_to_compare(before, after, 128)
    (top, left), (top2, left2), (_, left3) = places.values()
    assert 540 - 128 <= top <= 500
    assert 650 - 128 <= left <= 610
    assert max(top2, left2) <= 40
    assert left3 >= 1000 - 128
    assert len(places_to_compare(before, after, 128, most=1)) == 1
    noisy = before.copy()
    noisy[100:200, 1040:1180] = 30  # changed most, with most detail, and darkest
    dark = places_to_compare(before, noisy, 128)
    assert len(dark) == 3
    for one, other in itertools.combinations(dark.values(), 2):
        assert max(abs(one[0] - other[0]), abs(one[1] - other[1])) > 64
    for shape in ((1, 1, 3), (1, 2000, 1), (40, 33, 3)):
        small = np.ones(shape, np.float32)
        found = places_to_compare(small, small * 0, 64)
        assert all(place >= 0 for at in found.values() for place in at)


def test_previews_of_odd_photos() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for shape in ((1, 1, 3), (1, 3000, 3), (3000, 2, 1)):
        frame = Frame(np.full(shape, 1.5, np.float32), None, Metadata(icc=profile))
        previews = take_previews(frame, frame, Size(100, 50, 80))
        for pair in (previews.whole, *(crop.pair for crop in previews.crops)):
            assert Image.open(BytesIO(pair.after)).size == pair.size
            assert Image.open(BytesIO(pair.after)).info["icc_profile"] == profile


def test_profiles_that_a_picture_cannot_carry_are_converted() -> None:
    """Linear light of 0.5 is 188 of 255 in sRGB."""
    nodes = np.linspace(0, 1, 33)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1) @ rgb_to_xyz("srgb").T
    large = lookup_profile(lookup_table(grid, np.array([0.0, 1.0])))
    cases = [(grey_profile(gamma(1)), 1)]
    if find_spec("imagecodecs") is not None:
        cases.append((large, 3))
    for icc, channels in cases:
        frame = Frame(np.full((40, 50, channels), 32768, np.uint16), metadata=Metadata(icc=icc))
        picture = Image.open(BytesIO(take_previews(frame, frame, Size(50, 32, 100)).whole.after))
        assert "icc_profile" not in picture.info
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - 188).max() <= 1


_BLENDED = """
addEventListener("load", () => setTimeout(() => {
  const canvas = document.querySelector("canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  document.body.dataset.blended = btoa(String.fromCharCode(...data));
}, 500));
"""


@browser
@pytest.mark.parametrize(("strength", "luma", "chroma"), [(60, 100, 30), (80, 0, 100), (35, 70, 0)])
def test_the_page_s_sliders_show_what_the_tool_writes(
    tmp_path: Path, strength: float, luma: float, chroma: float
) -> None:
    rng = np.random.default_rng(0)
    before = Frame(rng.integers(0, 256, (40, 40, 3), np.uint8))
    to = Fake(lambda tile: 0.5 * tile + 0.2)
    full = process(before, to)
    report = Report(Recipe("nsp", "ab" * 32, {"strength": 100.0, "luma": 100.0, "chroma": 100.0}))
    previews = take_previews(before, full, Size(40, 40, 100, 1))
    report.add(Outcome(Path("a.png"), Path("b.png"), Status.WRITTEN, previews=previews))
    page = tmp_path / "report.html"
    report.write(page, Tally(1, 1), 1.0)
    page.write_text(page.read_text().replace("</body>", f"<script>{_BLENDED}</script></body>"))
    dom = open_in_browser(page.as_uri() + f"#strength={strength}&luma={luma}&chroma={chroma}", tmp_path)
    data = re.search(r'data-blended="([^"]+)"', dom)
    assert data is not None
    shown = np.frombuffer(base64.b64decode(data[1]), np.uint8).reshape(40, 40, 4)[..., :3]
    written = process(before, to, Blend(strength, luma, chroma)).pixels
    assert np.abs(shown.astype(int) - written).max() <= 1
    assert np.abs(shown.astype(int) - full.pixels).max() > 10
    flags = "".join(f" --{n} {v}" for n, v in (("strength", strength), ("luma", luma), ("chroma", chroma)) if v != 100)
    assert f"nsp denoise IN -o OUT -m nsp{flags}</code>" in dom


@browser
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    dom = open_in_browser(page.as_uri(), tmp_path)
    assert '<html lang="en" class="live">' in dom  # the script has run
    assert dom.count('aria-valuetext="50 % before"') == 4
    assert dom.count('class="tag left"') == 4


_KEYS = """
const range = document.querySelector(".compare input");
range.value = 10;
range.dispatchEvent(new Event("input"));
const press = (type, key) => dispatchEvent(new KeyboardEvent(type, { key }));
press("keydown", "-");
press("keydown", "b");
document.body.dataset.held = range.parentElement.style.getPropertyValue("--at");
press("keyup", "b");
"""


@browser
def test_the_label_under_the_divider_hides_and_keys_work(page: Path, tmp_path: Path) -> None:
    page.write_text(page.read_text("utf-8").replace("</body>", f"<script>{_KEYS}</script></body>"), "utf-8")
    dom = open_in_browser(page.as_uri(), tmp_path)
    tags = re.findall(r'class="tag (left|right)"[^>]*?( hidden="")?>', dom)
    assert tags[:4] == [("left", ' hidden=""'), ("right", ""), ("left", ""), ("right", "")]
    assert 'data-held="100%"' in dom
    assert 'style="--at: 10%;"' in dom
    assert "--strength 75 --chroma 50</code>" in dom


def open_in_browser(address: str, folder: Path) -> str:
    """Return the page's DOM after its scripts have run."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=3000"
    done = subprocess.run(
        ["chromium", *flags.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom", address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_only_a_report_is_replaced(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<html><title>mine</title>")
    command = ("denoise", noisy_photos / "0.png", "-o", tmp_path / "out.png", "-m", weights(), "--report", page)
    code, said = run(*command)
    assert (code, "not a report of nsp" in said) == (2, True)
    assert page.read_text() == "<html><title>mine</title>"
    assert not (tmp_path / "out.png").exists()
    for flags in (["--if-exists", "overwrite"], ["--if-exists", "skip"]):  # the second replaces our own
        assert run(*command, *flags)[0] == 0
        assert "<title>nsp: before and after</title>" in page.read_text()


def test_a_report_replaces_no_photo_and_if_exists_decides_on_other_files(
    weights: Weights, noisy_photos: Path, tmp_path: Path
) -> None:
    mine, photo, model = tmp_path / "index.html", noisy_photos / "0.png", weights()
    (noisy_photos / "photo.html").write_bytes(photo.read_bytes())
    (tmp_path / "link.html").symlink_to(photo)
    (tmp_path / "other.html").symlink_to(model)
    before = [path.read_bytes() for path in (photo, model)]
    for page in (tmp_path / "link.html", tmp_path / "other.html", noisy_photos / "photo.html"):
        command = ("denoise", photo, noisy_photos / "photo.html", "-f", "png", "-o", tmp_path / "out", "-m", model)
        assert run(*command, "--report", page, "--if-exists", "overwrite")[0] == 2
    assert [path.read_bytes() for path in (photo, model)] == before
    assert (noisy_photos / "photo.html").read_bytes() == photo.read_bytes()
    mine.write_text("mine")
    for _ in range(2):  # the second time index_2.html is a report
        code, said = run("denoise", photo, "-m", model, "--report", mine, "--if-exists", "rename")
        assert (code, "index_2.html" in said) == (0, True)
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("index*")) == ["index.html", "index_2.html"]


def test_a_file_that_appears_during_the_work_is_not_replaced_by_the_report(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    page.write_text("mine")
    report = Report(Recipe("nsp", "ab" * 32, {}))
    assert report.write(page, Tally(0), 1.0) == tmp_path / "r_2.html"
    assert page.read_text() == "mine"
    assert report.write(page, Tally(0), 1.0, replace_any=True) == page


def test_a_stopped_batch_keeps_the_cards_of_photos_that_it_did_not_reach(
    weights: Weights, noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "r.html"
    command = ("denoise", noisy_photos, tmp_path / "out", "-m", weights(), "--report", page, "-j", 1)
    assert run(*command)[0] == 0

    @contextmanager
    def after_two(*_: object, **__: object) -> Iterator[Callable[[], bool]]:
        yield lambda: (tmp_path / "out" / "1.png").stat().st_mtime_ns > since

    since = (tmp_path / "out" / "4.png").stat().st_mtime_ns
    monkeypatch.setattr(session, "stop_on_interrupt", after_two)
    assert run(*command, "--if-exists", "overwrite")[0] == 130
    assert page.read_text("utf-8").count("<article ") == 5

"""The HTML report: parsed, and looked at by a browser where there is one."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status, Tally
from nsp_cli.cli.report.previews import Size, most_changed, take_previews
from nsp_cli.cli.report.report import Report
from nsp_cli.image import Frame, Metadata
from tests.cli.test_commands import Weights, run

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
    report = Report(Recipe("nsp", "ab" * 32, {"strength": 80.0, "format": None}))
    before = Frame(rng.integers(0, 256, (300, 500, 3), np.uint8))
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    grey = Frame(rng.integers(0, 65536, (90, 60, 1), np.uint16), None, Metadata(exif=exif))
    larger = grey.with_pixels(np.repeat(np.repeat(grey.pixels, 2, 0), 2, 1))
    for name, first, second in ((HOSTILE, before, before), ("b.tif", grey, larger)):
        previews = take_previews(first, second, Size(200, 96, 80))
        report.add(Outcome(Path(name), Path("out"), Status.WRITTEN, 1.5, 0.15, ("EXIF <b>.",), previews=previews))
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
    assert page.read_text("utf-8").count("<article>") == 2
    assert run("denoise", noisy_photos, out, "-m", model, "--report", page)[0] == 0
    text = page.read_text("utf-8")
    assert [f">{number}.png</h2>" in text for number in range(6)] == [True] * 5 + [False]
    assert text.count("<article>") == 5
    code, said = run("denoise", noisy_photos, out, "-m", model, "--report", page)
    assert (code, page.read_text("utf-8").count("<article>")) == (0, 5)
    assert "0 of 5 photos written, 5 skipped" in said
    assert "--if-exists overwrite or rename processes them again" in said
    (out / "0.png").unlink()  # another photo's result under another name is not this report's
    assert run("denoise", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", model, "--report", page)[0] == 0
    assert page.read_text("utf-8").count("<article>") == 1


def test_the_page_is_whole_and_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in parsed.all("img"))
    assert len(parsed.all("img")) == 8
    assert len(parsed.all("article")) == 2
    assert all(image["alt"] for image in parsed.all("img"))
    assert all(slider["aria-label"] for slider in parsed.all("input"))
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


def test_the_crop_is_where_the_change_is() -> None:
    before = np.zeros((700, 900, 3), np.uint8)
    after = before.copy()
    after[500:540, 610:650] = 200
    top, left = most_changed(before, after, 128)
    assert top <= 500
    assert left <= 610
    assert top + 128 >= 540
    assert left + 128 >= 650
    for shape in ((1, 1, 3), (1, 2000, 1), (40, 33, 3)):
        small = np.ones(shape, np.float32)
        assert all(place >= 0 for place in most_changed(small, small * 0, 64))


def test_previews_of_odd_photos() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for shape in ((1, 1, 3), (1, 3000, 3), (3000, 2, 1)):
        frame = Frame(np.full(shape, 1.5, np.float32), None, Metadata(icc=profile))
        previews = take_previews(frame, frame, Size(100, 50, 80))
        for pair in (previews.whole, previews.crop):
            assert Image.open(BytesIO(pair.after)).size == pair.size
            assert Image.open(BytesIO(pair.after)).info["icc_profile"] == profile


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=3000"
    done = subprocess.run(
        ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert '<html lang="en" class="live">' in done.stdout  # the script has run
    assert done.stdout.count('aria-valuetext="50 % before"') == 4
    assert done.stdout.count('class="tag left"') == 4


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

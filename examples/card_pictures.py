"""Makes the picture of the model card: fine structures before and after `nsp denoise`, at 100 %.

    python examples/card_pictures.py [FILE]

Text, hair, foliage, stars and film grain are drawn. The first two rows are the clean drawing and what `nsp` makes of
it, which should be the same; the other two are the drawing with the noise of a simulated camera, and what `nsp` makes
of that. Run it again when the default model changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from showing import Panel, lay_out, run_nsp

from nsp_cli.evaluation.metrics import psnr, to_uint8
from nsp_cli.image import read_srgb
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import Picture

Drawing = NDArray[np.uint8]  # (height, width, 3) RGB

SIDE = 384  # of a drawing, of which the middle is shown: `nsp` measures the noise on all of it
SHOWN = 200
OVERSAMPLING = 2
LARGE = SIDE * OVERSAMPLING
CAMERA = Camera(shot_gain=4e-3, read_noise=8e-3, chroma_smoothing=0.8, jpeg_quality=95)  # about ISO 6400
GRAIN, GRAIN_SIZE = 6.0, 0.7  # of the film: standard deviation of 255, and radius in pixels
LINES = (
    "The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs;",
    "how vexingly quick daft zebras jump! 0123456789",
    "f/2.8   1/250 s   ISO 6400   35 mm   +0.3 EV",
)


def shaded(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Drawing:
    """Draw a vertical gradient, at the size in which drawings are made."""
    down = np.linspace(0, 1, LARGE)[:, None, None]
    return np.repeat((1 - down) * top + down * bottom, LARGE, axis=1).astype(np.uint8)


def draw_text(_: np.random.Generator) -> Drawing:
    """Draw lines of print on paper, from large to very small."""
    paper = shaded((238, 232, 218), (196, 186, 170))
    y = 30
    while y < LARGE:
        size = 0.95 - 0.6 * y / LARGE
        text, ink = LINES[y % len(LINES)], (30, 30, 36) if y % 3 else (120, 30, 36)
        cv2.putText(paper, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 2 if size > 0.6 else 1, cv2.LINE_AA)
        y += round(38 * size) + 8
    return paper


def draw_hair(rng: np.random.Generator) -> Drawing:
    """Draw strands of hair that fall in waves, lit from the upper left."""
    picture = shaded((58, 38, 26), (30, 20, 15))
    t = np.linspace(0, 1, 40)
    for start in rng.permutation(2600):
        x = start * 1.3 * LARGE / 2600 - 0.15 * LARGE
        wave = rng.normal(0.06, 0.02) * np.sin(2 * np.pi * (1.1 * t + x / LARGE + rng.normal(0, 0.03)))
        points = np.stack([x + LARGE * (wave + rng.normal(0, 0.05) * t), LARGE * t], 1)
        shine = np.clip(rng.normal(0.45, 0.22) + 0.35 * np.cos(2 * np.pi * (x / LARGE - 0.3)), 0.08, 1)
        colour = [int(c * shine) for c in (224, 168, 112)]
        cv2.polylines(picture, [np.rint(points).astype(np.int32)], False, colour, 1, cv2.LINE_AA)
    return picture


def draw_foliage(rng: np.random.Generator) -> Drawing:
    """Draw small leaves, those behind darker."""
    picture = shaded((18, 30, 14), (10, 18, 10))
    for depth in np.linspace(0.15, 1, 5000):
        centre = tuple(int(c) for c in rng.integers(0, LARGE, 2))
        length = rng.uniform(7, 16)
        light = depth * rng.uniform(0.5, 1.1)
        colour = [int(np.clip(c * light, 0, 255)) for c in (rng.uniform(70, 160), 170, rng.uniform(30, 70))]
        axes = (round(length), round(length * rng.uniform(0.25, 0.5)))
        cv2.ellipse(picture, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    return picture


def draw_stars(rng: np.random.Generator) -> Drawing:
    """Draw a night sky with stars from bright to faint."""
    sky = shaded((9, 12, 26), (26, 26, 40)).astype(np.float32)
    for brightness in 12 * (1 - rng.random(700)) ** -1.2:
        x, y = rng.integers(4, LARGE - 4, 2)
        sky[y - 1 : y + 1, x - 1 : x + 1] += brightness * rng.uniform((0.8, 0.85, 0.8), (1.1, 1, 1.2))
    return np.clip(cv2.GaussianBlur(sky, (0, 0), 0.5 * OVERSAMPLING), 0, 255).astype(np.uint8)


def draw_film(rng: np.random.Generator) -> Drawing:
    """Draw soft shapes, as in a portrait out of focus; `add_grain` follows."""
    picture = shaded((150, 128, 112), (88, 80, 84))
    for colour in ((206, 166, 140), (64, 70, 90), (182, 140, 96), (48, 44, 46)):
        centre = tuple(int(c) for c in rng.integers(LARGE // 4, 3 * LARGE // 4, 2))
        cv2.circle(picture, centre, int(rng.integers(70, 150)), colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 9).astype(np.uint8)


DRAWINGS: Mapping[str, Callable[[np.random.Generator], Drawing]] = {
    "text": draw_text,
    "hair": draw_hair,
    "foliage": draw_foliage,
    "stars": draw_stars,
    "film grain": draw_film,
}


def draw(name: str) -> Picture:
    """Return a drawing (SIDE, SIDE, 3) in [0, 1]."""
    rng = np.random.default_rng(1)
    picture = cv2.resize(DRAWINGS[name](rng), (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    if name == "film grain":
        grain = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), GRAIN_SIZE)
        picture += (GRAIN / grain.std() * grain)[..., None]
    return np.clip(picture / 255, 0, 1).astype(np.float32)


def shown(path: Path, caption: str) -> Panel:
    """Return the middle of a picture."""
    start = (SIDE - SHOWN) // 2
    with Image.open(path) as picture:
        return caption, picture.convert("RGB").crop((start, start, start + SHOWN, start + SHOWN))


def make_sheet(work: Path) -> Image.Image:
    """Lay out a column for each drawing, with PSNR in dB; `work` is a folder for files that are not kept."""
    rows: list[list[Panel]] = [[], [], [], []]
    for name in DRAWINGS:
        clean = draw(name)
        noisy, target = simulate(clean, CAMERA, np.random.default_rng(2))
        for index, (kind, picture, expected) in enumerate((("clean", clean, clean), ("noisy", noisy, target))):
            photo, result = (work / f"{name}-{kind}{end}.png" for end in ("", "-denoised"))
            Image.fromarray(to_uint8(picture)).save(photo)
            run_nsp("denoise", str(photo), str(result), "--quiet")
            before, after = (psnr(to_uint8(read_srgb(path)), to_uint8(expected)) for path in (photo, result))
            rows[2 * index].append(shown(photo, f"{name}, {kind}" + (f", {before:.1f}" if index else "")))
            rows[2 * index + 1].append(shown(result, f"denoised, {after:.1f}"))
    return lay_out(rows)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "card.jpg"
    with TemporaryDirectory() as work:
        sheet = make_sheet(Path(work))
    sheet.save(target, quality=85, subsampling=0, optimize=True)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

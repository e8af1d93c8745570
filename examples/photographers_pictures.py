"""Makes the pictures of docs/photographers.md: what the flags do to a photo, at 100 %.

    python examples/photographers_pictures.py [FOLDER]

The photos are synthetic scenes with the noise of a simulated camera, at a high and at a low ISO; `nsp` then works on
them with its default model. Run it again when that model changes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from showing import Panel, lay_out, run_nsp, take_photo

from nsp_cli.simulation.camera import Camera

WIDTH, HEIGHT, SEED = 640, 480, 3
HIGH_ISO = Camera(shot_gain=9e-3, read_noise=1.2e-2, chroma_smoothing=1.2, jpeg_quality=95)
LOW_ISO = replace(HIGH_ISO, shot_gain=4e-4, read_noise=2e-3)

CROP = (330, 225, 610, 435)  # small print, edges, trees, grass; three of them fit a page at 100 %
FLAGS = (
    ("--strength", "50"),
    ("--strength", "100"),
    ("--strength", "auto"),
    ("--luma", "40", "--chroma", "100"),
    ("--luma", "0", "--chroma", "100"),
)


def panel(path: Path, caption: str) -> Panel:
    with Image.open(path) as picture:
        return caption, picture.convert("RGB").crop(CROP)


def denoised(photo: Path, flags: tuple[str, ...]) -> Panel:
    """The photo's crop with these flags; where they leave the strength to `nsp`, the caption has what it chose."""
    result = photo.with_stem(photo.stem + "_".join(flags))
    line = json.loads(run_nsp("denoise", str(photo), str(result), "--json", "--quiet", *flags))
    chosen = f": {line['settings']['strength']:.0f}" if "auto" in flags else ""
    return panel(result, " ".join(flags) + chosen)


def make_sheets(work: Path) -> dict[str, Image.Image]:
    """Name and picture of each sheet; `work` is a folder for files that are not kept."""
    photos: dict[str, Path] = {}
    for name, camera in (("high", HIGH_ISO), ("low", LOW_ISO)):
        photos[name] = work / f"{name}.png"
        take_photo(camera, WIDTH, HEIGHT, SEED)[0].save(photos[name])
    shown = [panel(photos["high"], "the photo"), *(denoised(photos["high"], flags) for flags in FLAGS)]
    quiet = [denoised(photos["low"], flags) for flags in FLAGS[1:3]]
    residual = work / "residual.png"
    run_nsp("inspect", str(photos["high"]), "--residual", str(residual), "--json")
    taken = [shown[0], shown[2], panel(residual, "what was taken, --residual")]
    return {
        "looks": lay_out([shown[:3], shown[3:]]),
        "auto": lay_out([[panel(photos["low"], "a photo at low ISO"), *quiet]]),
        "residual": lay_out([taken]),
    }


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs"
    with TemporaryDirectory() as work:
        for name, sheet in make_sheets(Path(work)).items():
            target = folder / f"photographers-{name}.jpg"
            sheet.save(target, quality=90, subsampling=0, optimize=True)
            print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

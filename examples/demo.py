"""Make a synthetic photo with the noise of a simulated camera, run `nsp` on it, and show before and after.

    python examples/demo.py [OUTPUT_FOLDER]

As the noise is simulated, the clean picture is known and PSNR can be given. What is written: noisy.png, denoised.png,
enlarged.png, clean.png, sheet.png, which lays them side by side, and report.html, which has a slider.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from showing import Panel, lay_out, run_nsp, take_photo

from nsp_cli.simulation.camera import Camera

WIDTH, HEIGHT = 640, 480
CAMERA = Camera(shot_gain=4e-3, read_noise=8e-3, chroma_smoothing=0.8, jpeg_quality=95)  # about ISO 6400
SEED = 3

CELL = (WIDTH // 2, HEIGHT // 2)
CROP = (315, 215)  # upper left corner of the crop shown at 100 %: small print, edges, trees, grass
ENLARGED_CROP = (425, 270)  # the same where it is enlarged; half as much fills a cell


def psnr(picture: Image.Image, clean: Image.Image) -> float:
    """In dB, over 8-bit RGB."""
    error = np.asarray(picture, np.float64) - np.asarray(clean, np.float64)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def crop(picture: Image.Image, corner: tuple[int, int], scale: int = 1) -> Image.Image:
    """The part of a cell's size whose corner is given in pixels of the photo before it was enlarged `scale` times."""
    left, top = scale * corner[0], scale * corner[1]
    return picture.crop((left, top, left + CELL[0], top + CELL[1]))


def make_sheet(noisy: Image.Image, denoised: Image.Image, enlarged: Image.Image, clean: Image.Image) -> Image.Image:
    """Three rows of three: the whole picture at half size, a crop at 100 %, and a crop enlarged twice."""
    photos = {
        f"noisy, {psnr(noisy, clean):.1f} dB": noisy,
        f"nsp denoise, {psnr(denoised, clean):.1f} dB": denoised,
        "clean": clean,
    }
    bicubic = [photo.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BICUBIC) for photo in (noisy, clean)]
    doubled = {"noisy, bicubic 2x": bicubic[0], "nsp sr 2x": enlarged, "clean, bicubic 2x": bicubic[1]}
    rows: list[list[Panel]] = [
        [(name, photo.resize(CELL, Image.Resampling.LANCZOS)) for name, photo in photos.items()],
        [(f"{name.split(',')[0]}, 100 %", crop(photo, CROP)) for name, photo in photos.items()],
        [(name, crop(photo, ENLARGED_CROP, scale=2)) for name, photo in doubled.items()],
    ]
    return lay_out(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path("demo"), help="folder for the pictures (demo)")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    paths = {name: output / f"{name}.png" for name in ("noisy", "denoised", "enlarged", "clean", "sheet")}

    noisy, clean = take_photo(CAMERA, WIDTH, HEIGHT, SEED)
    noisy.save(paths["noisy"])
    clean.save(paths["clean"])
    report = output / "report.html"
    run_nsp(
        "denoise",
        str(paths["noisy"]),
        "-o",
        str(paths["denoised"]),
        "--if-exists",
        "overwrite",
        "--report",
        str(report),
    )
    run_nsp("sr", str(paths["noisy"]), "-o", str(paths["enlarged"]), "--scale", "2", "--if-exists", "overwrite")

    denoised, enlarged = (Image.open(paths[name]).convert("RGB") for name in ("denoised", "enlarged"))
    make_sheet(noisy, denoised, enlarged, clean).save(paths["sheet"])
    print(f"PSNR to the clean picture: {psnr(noisy, clean):.2f} dB noisy, {psnr(denoised, clean):.2f} dB denoised")
    print(f"Before and after: {paths['sheet'].resolve()}")
    print(f"The same with a slider, for a browser: {report.resolve()}")


if __name__ == "__main__":
    main()

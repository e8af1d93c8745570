"""What the examples share: a photograph with a simulated camera, `nsp` run as a user does, panels side by side."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

GAP, CAPTION = 10, 24

Panel = tuple[str, Image.Image]


def take_photo(camera: Camera, width: int, height: int, seed: int) -> tuple[Image.Image, Image.Image]:
    """The noisy photo and what the same camera would give without noise, both 8-bit RGB."""
    rng = np.random.default_rng(seed)
    noisy, clean = (
        np.rint(255 * p).astype(np.uint8) for p in simulate(sample_picture(height, width, rng), camera, rng)
    )
    return Image.fromarray(noisy), Image.fromarray(clean)


def run_nsp(*arguments: str) -> str:
    """Run the command line as a user does and give its stdout; its message names the error, if there is one."""
    print("$ nsp", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "nsp_cli", *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


def lay_out(rows: list[list[Panel]]) -> Image.Image:
    """Panels of one size with a caption above each, on white."""
    width, height = rows[0][0][1].size
    pitch = (width + GAP, height + CAPTION + GAP)
    sheet = Image.new("RGB", (GAP + pitch[0] * len(rows[0]), GAP + pitch[1] * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, panels in enumerate(rows):
        for column, (caption, picture) in enumerate(panels):
            left, top = GAP + column * pitch[0], GAP + row * pitch[1]
            draw.text((left, top), caption, "black", font)
            sheet.paste(picture, (left, top + CAPTION))
    return sheet

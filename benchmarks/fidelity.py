"""The shifts of colour that the models that ship make, against the bounds of `nsp_cli/engine/fidelity.py`.

    python benchmarks/fidelity.py FOLDER ... [-m MODEL ...] [--side 512]

Each photo is processed as it is and with the noise of a simulated camera. The last column has results whose green is
shifted by 4 of 255, both ways: `refused` is 0 and `shifted, refused` nearly all, or the bounds are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from arenas import photos_in
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.fidelity import check_fidelity, shifts
from nsp_cli.engine.process import process
from nsp_cli.errors import OutputError
from nsp_cli.image import Frame, read_srgb, to_unit
from nsp_cli.image.frame import Pixels, from_unit
from nsp_cli.model.spec import Task
from nsp_cli.simulation.camera import random_camera, simulate

_MODELS = ("fast", "best", "fast-research", "nsp", "fast-sr")
_SHIFT = 4  # of 255


def photos(folders: list[Path], side: int) -> Iterator[Pixels]:
    """Middles of photos, each as it is and as a simulated camera takes it."""
    rng = np.random.default_rng(0)
    for path in (path for folder in folders for path in photos_in(folder)):
        pixels = read_srgb(path)
        top, left = (max(length - side, 0) // 2 for length in pixels.shape[:2])
        crop = pixels[top : top + side, left : left + side]
        yield crop
        yield from_unit(simulate(to_unit(crop), random_camera(rng), rng)[0], np.uint8)


def is_refused(before: Pixels, after: Pixels) -> bool:
    """Return whether a result would not be written."""
    try:
        check_fidelity(before, after)
    except OutputError:
        return True
    return False


def shifted(pixels: Pixels, levels: int) -> Pixels:
    """Return pixels with a shifted green."""
    return from_unit(to_unit(pixels) + np.array([0, levels / 255, 0], np.float32), pixels.dtype)


def row(model: str, precision: str, folders: list[Path], side: int) -> list[str]:
    """Measure one model."""
    task = Task.DIRECT if model == "fast-sr" else Task.DENOISE
    backend = load_backend(model, task, precision=precision, megapixels=1)
    flat: list[float] = []
    border: list[float] = []
    refused: list[bool] = []
    found: list[bool] = []
    for before in photos(folders, side):
        after = process(Frame(before), backend).pixels
        areas, *sides = (255 * float(np.abs(shift.mean).max()) for shift in shifts(before, after).values())
        flat.append(areas)
        border.append(max(sides))
        refused.append(is_refused(before, after))
        found += [is_refused(before, shifted(after, levels)) for levels in (-_SHIFT, _SHIFT)]
    counts = [f"{sum(refused)} of {len(refused)}", f"{sum(found)} of {len(found)}"]
    return [model, precision, f"{max(flat):.2f}", f"{max(border):.2f}", *counts]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folders", nargs="+", type=Path)
    arguments.add_argument("-m", "--models", nargs="+", default=_MODELS)
    arguments.add_argument("--precision", default="auto")
    arguments.add_argument("--side", type=int, default=512)
    options = arguments.parse_args()
    use_threads(options.threads)
    rows = [row(model, options.precision, options.folders, options.side) for model in options.models]
    print_table(["model", "precision", "largest, flat", "border", "refused", "shifted, refused"], rows)


if __name__ == "__main__":
    main()

"""Small test sets in the files that SIDD's and DND's authors hand out, written as MATLAB writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

Boxes = list[tuple[int, int, int, int]]
"""(top, left, bottom, right) from 0, the last two exclusive: what Python slices with."""


def numbered(*shape: int) -> NDArray[np.uint8]:
    """uint8 pixels that differ from their neighbours in every direction, so that any transposition shows."""
    return np.random.default_rng(0).integers(20, 230, shape, np.uint8)


def save_v5(path: Path, name: str, array: NDArray[np.generic]) -> None:
    savemat(path, {name: array})


def save_v73(path: Path, name: str, array: NDArray[np.generic]) -> None:
    """HDF5 behind MATLAB's own block of 512 bytes, its axes in reverse."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = array.T


def save_dnd(folder: Path, photos: list[NDArray[np.float32]], boxes: list[Boxes]) -> None:
    """info.mat, whose struct `info` has a cell array of references in `boundingboxes`, and images_srgb/NNNN.mat."""
    (folder / "images_srgb").mkdir(parents=True)
    with h5py.File(folder / "info.mat", "w", userblock_size=512) as file:
        cells = file.create_dataset("info/boundingboxes", (1, len(boxes)), h5py.ref_dtype)
        for i, corners in enumerate(boxes):
            rows = np.array([(y1 + 1, x1 + 1, y2, x2) for y1, x1, y2, x2 in corners], np.float64)
            file[f"#refs#/{chr(97 + i)}"] = rows.T
            cells[0, i] = file[f"#refs#/{chr(97 + i)}"].ref
    for i, photo in enumerate(photos):
        save_v73(folder / "images_srgb" / f"{i + 1:04d}.mat", "InoisySRGB", photo)

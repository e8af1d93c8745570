"""Clean crops for training: reduced, without faint grain, in other colours.

Pictures are (P, P, 3) float32 in [0, 1], sRGB-encoded.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from nsp_cli.image.luma import luma
from nsp_cli.simulation.bayer import Picture

_REDUCTION = (1.3, 2.0)  # factors of that, or as much as the crop has room for
_GRAIN = 6 / 255  # differences of colour below which the target is smoothed
_SATURATION = (0.5, 2.0)  # factors of the recoloured examples


def reduce_randomly(crop: Picture, side: int, rng: np.random.Generator, smaller_prob: float) -> Picture:
    """Cut a square of `side` pixels out of the crop, or with `smaller_prob` cut a larger one and scale it down."""
    least, most = (min(factor, crop.shape[0] / side) for factor in _REDUCTION)
    cut = round(side * rng.uniform(least, most)) if rng.random() < smaller_prob else side
    y, x = rng.integers(crop.shape[0] - cut + 1, size=2)
    part = cut_square(crop, y, x, cut)
    return part if cut == side else _resize(part, side)


def without_grain(picture: Picture) -> Picture:
    """Smooth differences of colour below `_GRAIN` by a bilateral filter of 7×7 pixels, 2.5 pixels its spatial sigma."""
    return cv2.bilateralFilter(np.ascontiguousarray(picture), 7, _GRAIN, 2.5).astype(np.float32)


def recolour(clean: Picture, rng: np.random.Generator) -> Picture:
    """Permute the channels and change the saturation: noise depends on colour, and few photos have all colours."""
    colours = clean[..., rng.permutation(3)]
    grey = luma(colours)[..., None]
    return np.clip(grey + (colours - grey) * np.float32(rng.uniform(*_SATURATION)), 0, 1).astype(np.float32)


def reduce_bicubic(picture: Picture, side: int) -> Picture:
    """Scale down by bicubic interpolation with antialiasing, as the papers on super-resolution do."""
    planes = [
        Image.fromarray(np.ascontiguousarray(picture[..., c])).resize((side, side), Image.Resampling.BICUBIC)
        for c in range(picture.shape[2])
    ]
    return np.clip(np.dstack([np.asarray(plane, np.float32) for plane in planes]), 0, 1)


def cut_square(picture: Picture, y: int, x: int, side: int) -> Picture:
    """Cut out the square of `side` pixels whose first pixel is in row y and column x."""
    return picture[y : y + side, x : x + side]


def _resize(picture: Picture, side: int) -> Picture:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)

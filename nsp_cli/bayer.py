"""A Bayer mosaic (RGGB), and what demosaicing makes of it.

By plain bilinear interpolation, or after Malvar et al., "High-quality linear interpolation for demosaicing" (ICASSP
2004), whose noise is finer.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

# Bilinear interpolation of a Bayer plane whose missing samples are 0 (OpenCV has it for integers alone).
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4

# Malvar's filters on the mosaic itself: green at red and blue, red (blue) at the green of its row, at that of its
# column, and at blue (red).
_TO_GREEN, _IN_ROW, _IN_COLUMN, _ACROSS = (
    np.array(rows, np.float32) / 16
    for rows in (
        [[0, 0, -2, 0, 0], [0, 0, 4, 0, 0], [-2, 4, 8, 4, -2], [0, 0, 4, 0, 0], [0, 0, -2, 0, 0]],
        [[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 8, 10, 8, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]],
        [[0, 0, -2, 0, 0], [0, -2, 8, -2, 0], [1, 0, 10, 0, 1], [0, -2, 8, -2, 0], [0, 0, -2, 0, 0]],
        [[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]],
    )
)


def mosaic(linear: Picture) -> Picture:
    """(H, W, 3) to (H, W): red at even rows and columns, blue at odd ones, green elsewhere."""
    raw = linear[..., 1].copy()
    raw[::2, ::2] = linear[::2, ::2, 0]
    raw[1::2, 1::2] = linear[1::2, 1::2, 2]
    return raw


def bilinear(raw: Picture) -> Picture:
    """(H, W) RGGB to (H, W, 3). The border is mirrored without repeating its pixel, which keeps the Bayer phases."""
    planes = np.zeros((*raw.shape, 3), np.float32)
    planes[::2, ::2, 0] = raw[::2, ::2]
    planes[::2, 1::2, 1] = raw[::2, 1::2]
    planes[1::2, ::2, 1] = raw[1::2, ::2]
    planes[1::2, 1::2, 2] = raw[1::2, 1::2]
    for channel, kernel in enumerate((_RED_BLUE, _GREEN, _RED_BLUE)):
        planes[..., channel] = cv2.filter2D(planes[..., channel], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return planes


def soften(colours: Picture) -> Picture:
    """The blur of bilinear interpolation, its mean over the mosaic's phases: without the chequerboards at edges."""
    kernels = (_RED_BLUE / 4, _GREEN / 2, _RED_BLUE / 4)
    planes = [
        cv2.filter2D(colours[..., channel], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        for channel, kernel in enumerate(kernels)
    ]
    return np.asarray(np.dstack(planes), np.float32)


def gradient(raw: Picture) -> Picture:
    """(H, W) RGGB to (H, W, 3) by gradient-corrected linear interpolation."""
    green, row, column, across = (
        cv2.filter2D(raw, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        for kernel in (_TO_GREEN, _IN_ROW, _IN_COLUMN, _ACROSS)
    )
    planes = np.repeat(raw[..., None], 3, 2)
    planes[::2, 1::2, 0], planes[1::2, ::2, 0], planes[1::2, 1::2, 0] = (
        row[::2, 1::2],
        column[1::2, ::2],
        across[1::2, 1::2],
    )
    planes[::2, ::2, 1], planes[1::2, 1::2, 1] = green[::2, ::2], green[1::2, 1::2]
    planes[::2, 1::2, 2], planes[1::2, ::2, 2], planes[::2, ::2, 2] = (
        column[::2, 1::2],
        row[1::2, ::2],
        across[::2, ::2],
    )
    return planes

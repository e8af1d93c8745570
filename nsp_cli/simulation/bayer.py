"""A Bayer mosaic (RGGB), and its demosaicing.

By plain bilinear interpolation; after Malvar et al., "High-quality linear interpolation for demosaicing" (ICASSP 2004),
whose noise is finer; or along edges after Hamilton and Adams (US patent 5,629,734, expired), as most cameras do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
    """Sample an RGGB mosaic, (H, W, 3) to (H, W): red at even rows and columns, blue at odd ones, green elsewhere."""
    raw = linear[..., 1].copy()
    raw[::2, ::2] = linear[::2, ::2, 0]
    raw[1::2, 1::2] = linear[1::2, 1::2, 2]
    return raw


def bilinear(raw: Picture) -> Picture:
    """Demosaic RGGB values by bilinear interpolation, (H, W) to (H, W, 3)."""
    planes = np.zeros((*raw.shape, 3), np.float32)
    planes[::2, ::2, 0] = raw[::2, ::2]
    planes[::2, 1::2, 1] = raw[::2, 1::2]
    planes[1::2, ::2, 1] = raw[1::2, ::2]
    planes[1::2, 1::2, 2] = raw[1::2, 1::2]
    for channel, kernel in enumerate((_RED_BLUE, _GREEN, _RED_BLUE)):
        planes[..., channel] = _filter(planes[..., channel], kernel)
    return planes


def soften(colours: Picture) -> Picture:
    """Apply the mean blur of bilinear demosaicing over all Bayer phases, without its chequerboards at edges."""
    kernels = (_RED_BLUE / 4, _GREEN / 2, _RED_BLUE / 4)
    planes = [_filter(colours[..., channel], kernel) for channel, kernel in enumerate(kernels)]
    return np.asarray(np.dstack(planes), np.float32)


def gradient(raw: Picture) -> Picture:
    """Demosaic RGGB values by gradient-corrected linear interpolation, (H, W) to (H, W, 3)."""
    green, row, column, across = (_filter(raw, kernel) for kernel in (_TO_GREEN, _IN_ROW, _IN_COLUMN, _ACROSS))
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


def directed(raw: Picture) -> Picture:
    """Demosaic RGGB values along edges, (H, W) to (H, W, 3).

    Green is interpolated along the smaller difference, red and blue by their differences to green.
    """
    across, down = (_along(raw, axis) for axis in (0, 1))
    green = raw.copy()
    for phase in ((0, 0), (1, 1)):
        at = np.s_[phase[0] :: 2, phase[1] :: 2]
        green[at] = np.where(across.difference[at] <= down.difference[at], across.green[at], down.green[at])
    difference = raw - green
    planes = np.zeros((*raw.shape, 3), np.float32)
    planes[::2, ::2, 0], planes[1::2, 1::2, 2] = difference[::2, ::2], difference[1::2, 1::2]
    for channel in (0, 2):
        planes[..., channel] = _filter(planes[..., channel], _RED_BLUE)
    return np.asarray(planes + green[..., None], np.float32)


class _Along(NamedTuple):
    green: Picture
    difference: Picture


def _along(raw: Picture, axis: int) -> _Along:
    """Interpolate green at red and blue from the neighbours in a row (axis 0) or a column; measure their difference."""
    mean, slope, bend = (np.array([taps], np.float32) for taps in ([1, 0, 1], [1, 0, -1], [-1, 0, 2, 0, -1]))
    if axis:
        mean, slope, bend = mean.T, slope.T, bend.T
    bent = _filter(raw, bend)
    green = np.asarray(_filter(raw, mean) / 2 + bent / 4, np.float32)
    return _Along(green, np.asarray(np.abs(_filter(raw, slope)) + np.abs(bent), np.float32))


def _filter(plane: Picture, kernel: NDArray[np.floating[Any]]) -> Picture:
    """Convolve a plane; the border is reflected without repeating its pixel, which keeps the Bayer phases."""
    return np.asarray(cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)

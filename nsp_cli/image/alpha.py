"""Colours under an alpha of 0, which are invisible and must not mix with visible ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.frame import Frame, from_unit, to_unit

_Float = NDArray[np.float32]


def hidden(frame: Frame) -> NDArray[np.bool_] | None:
    """Return where alpha is 0, (H, W); None for a frame without such pixels, or with no others."""
    if frame.alpha is None:
        return None
    found = frame.alpha <= 0
    return found if found.any() and not found.all() else None


def fill_hidden(frame: Frame) -> Frame:
    """Fill the colours under an alpha of 0 with those of the visible pixels around them.

    Visible pixels stay as they are. The fill is the mean of the visible pixels in ever larger squares, so that it is
    smooth and continues the colours at the edge.
    """
    unseen = hidden(frame)
    if unseen is None:
        return frame
    weight = (~unseen).astype(np.float32)[:, :, None]
    filled = from_unit(_fill(to_unit(frame.pixels) * weight, weight), frame.pixels.dtype)
    return frame.with_pixels(np.where(unseen[:, :, None], filled, frame.pixels))


def _fill(values: _Float, weight: _Float) -> _Float:
    """Interpolate weighted values (H, W, C) with weights (H, W, 1) to values everywhere, from coarse to fine."""
    import cv2  # not with the module: few photos have transparency

    known = np.asarray(values / np.maximum(weight, 1e-6), np.float32)
    if weight.min() > 0:
        return known
    height, width = weight.shape[:2]
    half = (-(-width // 2), -(-height // 2))

    def resize(part: _Float, size: tuple[int, int], interpolation: int) -> _Float:
        return np.asarray(cv2.resize(part, size, interpolation=interpolation), np.float32).reshape(*size[::-1], -1)

    coarse = _fill(*(resize(part, half, cv2.INTER_AREA) for part in (values, weight)))
    return np.where(weight > 0, known, resize(coarse, (width, height), cv2.INTER_LINEAR)).astype(np.float32, copy=False)

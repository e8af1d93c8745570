"""Take hot pixels out of a photo before it is denoised: a network keeps a large part of their light."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.blending import Blend, scale_change
from nsp_cli.image.frame import Frame, Pixels, from_unit, peak, to_unit
from nsp_cli.noise.quantiles import quantile

_FACTOR = 2.0
"""A hot pixel exceeds its neighbours by this many times their range, and by as many times the photo's typical range."""

_EVERY = 8  # rows and columns between the pixels whose neighbours' range is typical of the photo
_FLOOR = 24 / 255  # added to these limits, so that a faint dot on an even area stays
_OTHERS = 0.25  # largest excess of another channel, as a fraction of the hot one's: a star is bright in all channels
_ROWS = 256  # of the photo that are searched at once

_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
_SHIFTS = tuple(zip(*np.nonzero(_NEIGHBOURS), strict=True))


def without_hot_pixels(frame: Frame) -> Frame:
    """Replace single pixels that are far brighter than their neighbours in one channel alone.

    They get the median of their neighbours in that channel; the other channels stay. Grey photos stay as they are, and
    JPEGs whose chroma is subsampled cannot have such pixels. The frame itself is returned where nothing is found,
    without a copy. Those of RAW files are removed before demosaicing, see `image.codecs.raw_mosaic`.
    """
    height, width, count = frame.pixels.shape
    if count != 3 or min(height, width) < 3 or frame.jpeg_subsampling not in (None, "4:4:4"):
        return frame
    typical = _typical_range(frame.pixels)
    found = [part for top in range(0, height, _ROWS) if len(part := _hot(frame.pixels, top, typical))]
    if not found:
        return frame
    rows, columns, channels = np.concatenate(found).T
    around = np.stack([frame.pixels[rows + y - 1, columns + x - 1, channels] for y, x in _SHIFTS])
    pixels = frame.pixels.copy()
    pixels[rows, columns, channels] = quantile(around, 0.5)
    return replace(frame, pixels=pixels)


def fade_hot_pixels(frame: Frame, clean: Frame, blend: Blend) -> Frame:
    """Remove the hot pixels of a photo in proportion to the strengths of the blend.

    `clean` is the result of `without_hot_pixels`, and is returned itself where all strengths are 100.
    """
    if clean is frame or min(blend.strength, blend.luma, blend.chroma) == 100:
        return clean
    rows, columns = np.nonzero((frame.pixels != clean.pixels).any(2))
    before, after = (to_unit(part.pixels[rows, columns])[:, None] for part in (frame, clean))  # (N, 1, 3)
    pixels = clean.pixels.copy()
    pixels[rows, columns] = from_unit(before + scale_change(after - before, blend), pixels.dtype)[:, 0]
    return replace(clean, pixels=pixels)


def _typical_range(pixels: Pixels) -> float:
    """Return the median range of the 8 neighbours of a pixel: that of noise, or of texture."""
    height, width = pixels.shape[:2]
    around = [pixels[y : height - 2 + y : _EVERY, x : width - 2 + x : _EVERY].astype(np.float32) for y, x in _SHIFTS]
    return float(quantile((np.max(around, axis=0) - np.min(around, axis=0)).ravel(), 0.5))


def _hot(pixels: Pixels, top: int, typical: float) -> NDArray[np.intp]:
    """Find hot pixels in a band of rows: (N, 3) rows, columns and channels; none along the photo's border."""
    first, last = max(top, 1), min(top + _ROWS, len(pixels) - 1)
    band = pixels[first - 1 : last + 1]
    height, width = band.shape[0] - 2, band.shape[1] - 2
    largest = reduce(np.maximum, (band[y : y + height, x : x + width] for y, x in _SHIFTS))
    excess = np.maximum(band[1:-1, 1:-1], largest) - largest
    white = np.float32(peak(pixels.dtype))
    # Many times faster than np.nonzero in three dimensions.
    places = np.flatnonzero(excess > _FACTOR * typical + _FLOOR * white)
    if not len(places):
        return np.empty((0, 3), np.intp)
    rows, columns, channels = np.unravel_index(places, excess.shape)
    beyond = excess[rows, columns].astype(np.float32)  # (N, 3)
    own = np.take_along_axis(beyond, channels[:, None], 1)[:, 0]
    others = np.where(np.arange(3) == channels[:, None], -np.inf, beyond).max(1)
    around = [band[rows + y, columns + x, channels].astype(np.float32) for y, x in _SHIFTS]
    spread = np.max(around, axis=0) - np.min(around, axis=0)
    hot = (own > _FACTOR * spread + _FLOOR * white) & (others < _OTHERS * own)
    return np.stack([rows + first, columns + 1, channels], 1)[hot]

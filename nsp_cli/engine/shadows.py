"""Correct dark parts of a RAW photo so that they keep their mean in linear light, and with it their colour.

A network makes less of values below black than of those above it, and the sRGB curve bends noise upwards in one part
and downwards in the other. Both raise the mean of dark parts, more in the channels with more noise: black becomes
purple. The noise of a sensor has mean 0, so the mean of a large dark area before denoising is right, except for a
colour that is within its standard error.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.frame import Frame, Pixels, from_unit
from nsp_cli.image.metadata.icc import SRGB_CURVE

_CELL = 16  # pixels: means are taken over squares of this side
_SPREAD = 2.0  # standard deviation in cells of the area whose mean is kept
_DARK, _BRIGHT = 2.0, 6.0  # times the noise: wholly corrected below the first, not at all above the second
_HALF_NORMAL = 0.6745  # median of the absolute values of normal noise, in standard deviations
_CORRELATED = 4  # pixels of one photosite of red or blue, so that their noise is one value
_DOUBT = 4.0  # times the variance that chance gives the colour of a grey area: below it, that colour is taken off
_SAMPLE = 8  # rows and columns, for the noise below black

_Light = NDArray[np.floating]


def keep_shadows(frame: Frame, out: Pixels) -> None:
    """Correct the dark parts of a result in place; only RAW photos are changed.

    Parameters
    ----------
    frame : Frame
        The photo before denoising, with its values below black.
    out : Pixels
        (H·scale, W·scale, C) of the same dtype, the result.
    """
    noise = _noise_below_black(frame)
    if noise == 0:
        return
    bias = _bias(frame, out, noise)
    cell = _CELL * (out.shape[0] // frame.size[0])
    wide = _resize(bias, (out.shape[1], len(bias)))
    for top in range(0, len(out), cell):
        rows = out[top : top + cell]
        at = np.clip((np.arange(top, top + len(rows)) + 0.5) / cell - 0.5, 0, len(bias) - 1)
        above, weight = at.astype(int), (at % 1).astype(np.float32)[:, None, None]
        below = np.minimum(above + 1, len(bias) - 1)
        light = _light(rows)
        dark = _darkness(light, noise)
        changed = dark[..., 0] > 0
        if changed.any():
            light += dark * (wide[above] * (1 - weight) + wide[below] * weight)
            rows[changed] = from_unit(SRGB_CURVE.from_linear(light[changed]), out.dtype)


@cache
def _table() -> _Light:
    return SRGB_CURVE.to_linear((np.arange(65536) / 65535).astype(np.float32))


def _light(pixels: Pixels) -> _Light:
    """Convert uint16 or float32 in sRGB encoding to linear light, white = 1."""
    if pixels.dtype == np.uint16:
        return _table()[pixels.astype(np.uint16, copy=False)]
    return SRGB_CURVE.to_linear(pixels.astype(np.float32, copy=False))


def _noise_below_black(frame: Frame) -> float:
    """Return the standard deviation of the noise of black, in linear light; 0 where there is none."""
    if frame.below_black is not None:
        sample = frame.below_black[::_SAMPLE, ::_SAMPLE]
    elif frame.linear_raw is not None:
        sample = -frame.pixels[::_SAMPLE, ::_SAMPLE]
    else:
        return 0.0
    found = sample[sample > 0]
    return float(np.median(_light(found))) / _HALF_NORMAL if found.size else 0.0


def _bias(frame: Frame, out: Pixels, noise: float) -> _Light:
    """Return by how much the result is too dark in the shadows, in linear light: (ceil(H / 16), ceil(W / 16), C)."""
    import cv2  # not with the module: few photos are RAW

    height, width = frame.size
    scale = out.shape[0] // height
    sums: list[list[_Light]] = []
    for top in range(0, height, _CELL):
        bottom = min(top + _CELL, height)
        after = _resize(_light(out[top * scale : bottom * scale]), (width, bottom - top), area=True)
        dark = _darkness(after, noise)
        before = _light(frame.pixels[top:bottom])
        if frame.below_black is not None:
            before -= _light(frame.below_black[top:bottom])
        parts = (dark, dark * (before - after), dark * before, dark * before**2)
        sums.append([_resize(part, (-(-width // _CELL), 1), area=True) for part in parts])
    smooth = [cv2.GaussianBlur(np.concatenate(part), (0, 0), _SPREAD) for part in zip(*sums, strict=True)]
    shape = (len(sums), sums[0][0].shape[1], -1)
    fraction, *means = (np.asarray(part, np.float32).reshape(shape) for part in smooth)
    lacking, mean, square = (part / np.maximum(fraction, np.float32(1e-3)) for part in means)
    return lacking - _chance_colour(mean, square - mean**2, fraction)


def _chance_colour(mean: _Light, variance: _Light, fraction: _Light) -> _Light:
    """Return the part of the colour of dark areas that may be chance, because it is within the standard error.

    Parameters
    ----------
    mean, variance : ndarray
        (h, w, C) of the light in each area.
    fraction : ndarray
        (h, w, 1), fraction of the area's pixels that are dark.
    """
    colour = mean - mean.mean(2, keepdims=True)
    pixels = np.maximum(fraction * 4 * np.pi * (_SPREAD * _CELL) ** 2 / _CORRELATED, 1)
    chance = (2 / 3) * np.maximum(variance, 0).sum(2, keepdims=True) / pixels  # expected square of a grey area's colour
    within = _DOUBT * chance / np.maximum((colour**2).sum(2, keepdims=True), np.float32(1e-12))
    return colour * np.minimum(within, 1).astype(np.float32)


def _darkness(light: _Light, noise: float) -> _Light:
    """Return how dark the pixels of linear light (H, W, C) are: (H, W, 1), 1 for black."""
    brightest = light.max(2, keepdims=True)
    return np.clip((_BRIGHT * noise - brightest) / max((_BRIGHT - _DARK) * noise, 1e-6), 0, 1).astype(np.float32)


def _resize(part: _Light, size: tuple[int, int], *, area: bool = False) -> _Light:
    """Scale (H, W, C) to `size` (width, height)."""
    import cv2

    interpolation = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, size, interpolation=interpolation), np.float32).reshape(*size[::-1], -1)

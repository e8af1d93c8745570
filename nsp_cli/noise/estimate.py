"""Estimate the noise level and the correlation length of a photo from the photo alone.

::

    cells spread over the photo, each of 2×2 blocks → a plane is taken off each block (light falls off, skies shade)
    → cells of like brightness together → in each group the flattest cells → their variance and autocorrelation

Camera noise is correlated between neighbouring pixels, so differences of neighbours underestimate it; the variance of
a block includes all noise that is finer than the block. Texture adds to variance, so only the flattest cells are used.
Two blocks of a cell decide whether it is flat and the other two are measured: this avoids a bias towards blocks whose
noise is low by chance. Groups are by brightness, because a camera's noise depends on it.

Limits: grain that covers the whole photo is counted as noise, and so is texture where no cell is flat. At low noise,
both raise the level and the correlation length. `benchmarks/noise_estimate.py` measures bias and scatter with known
noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.frame import Pixels, peak
from nsp_cli.image.luma import luma
from nsp_cli.noise.correlation import autocovariance
from nsp_cli.noise.quantiles import quantile

Blocks = NDArray[np.float32]
Convert = Callable[[Blocks], Blocks]

CORRELATION_LEVEL = 0.2
"""Autocorrelation that defines the correlation length; the noise of independent pixels then has a length of 0.8."""

# Small blocks find flat places in textured photos, large ones measure noise with a long correlation. Chroma noise has
# a longer one, and the colour of photos changes more slowly. These sides have the least bias, see the benchmark.
_LUMA_BLOCK, _CORRELATION_BLOCK, _CHROMA_BLOCK = 8, 12, 24
_SMALLEST_BLOCK = 4  # a plane takes 3 of a block's degrees of freedom
_CELLS = {_LUMA_BLOCK: 5000, _CORRELATION_BLOCK: 2000, _CHROMA_BLOCK: 1000}  # at most, whatever the photo's size
_GROUPS = 6  # of cells by brightness, on which the noise of a camera depends
_FLATTEST = {_LUMA_BLOCK: 0.05, _CORRELATION_BLOCK: 0.05, _CHROMA_BLOCK: 0.15}  # fraction of a group's cells
_FEWEST = 3  # cells of a group
_EVEN = 1e-4  # variance of a frame, a caption or a filled area: no camera made it, and it would be the flattest of all
_MOSTLY_EVEN = 0.1  # where fewer cells than that are uneven, the picture was drawn
_BRIGHTEST = 8.0  # of a float photo, white = 1: so that no conversion overflows
_TEXTURED = 4.0  # a group with more than this times the least variance has no flat cells

HALF_SIZE_NOISE = 0.75
"""Noise level of a photo at half its size, as a fraction of that of the photo: white noise has 0.5, blotches have 1.

With 0.5 to 1 the PSNR of `fast` on real noise is the same within 0.02 dB (docs/experiments.md, 2026-11-29)."""

_STRONG = 8.0  # luma noise of 255 whose removal costs texture that matters
_ALONE = 4.0  # times the chroma noise
_NO_COLOUR = 0.5  # chroma noise of 255: below it the picture is a grey one
_DISTRUST = 6  # power of the ratio by which luma noise that stands alone is lowered


@dataclass(frozen=True)
class NoiseEstimate:
    """Noise of a photo; all zero where a side is below 8 pixels.

    Attributes
    ----------
    luma : float
        Standard deviation of luma noise in 8-bit units (white = 255), whatever the photo's depth.
    chroma : float
        The same for chroma, root mean square over R − Y and B − Y; 0 for grey photos.
    luma_correlation_length, chroma_correlation_length : float
        Lag in pixels at which the noise's autocorrelation falls below `CORRELATION_LEVEL`.
    """

    luma: float = 0.0
    chroma: float = 0.0
    luma_correlation_length: float = 0.0
    chroma_correlation_length: float = 0.0

    @property
    def may_be_texture(self) -> bool:
        """Whether fine texture that covers the whole photo, such as a lawn, may have been measured as noise.

        Noise of a camera has its chroma, texture has little. A hint and no proof: cameras that remove chroma noise
        themselves leave luma noise alone, and of 120 simulated cameras 6 are above the limit.
        """
        return self.trusted_luma < self.luma

    @property
    def trusted_luma(self) -> float:
        """Luma noise that is to be removed: lower than `luma` where that may be texture."""
        return _trusted(self.luma, self.chroma)


def estimate(pixels: Pixels, to_srgb: Convert | None = None) -> NoiseEstimate:
    """Measure the noise of (H, W, 1 or 3) pixels of any depth. Takes a second for 24 megapixels.

    `to_srgb` converts (…, C) values, white = 1, of a photo that is not sRGB-encoded, see `image.colour.conversion`.
    """
    if min(pixels.shape[:2]) < 2 * _SMALLEST_BLOCK:
        return NoiseEstimate()
    level = luma_level(pixels, to_srgb)
    _, luma_correlation_length = _measure(pixels, _CORRELATION_BLOCK, _luma, to_srgb)
    chroma, chroma_correlation_length = (
        (0.0, 0.0) if pixels.shape[2] == 1 else _measure(pixels, _CHROMA_BLOCK, _chroma, to_srgb)
    )
    return NoiseEstimate(level, chroma, luma_correlation_length, chroma_correlation_length)


def noise_level(pixels: Pixels, to_srgb: Convert | None = None) -> NoiseEstimate:
    """Estimate the luma noise, and the chroma noise where it decides whether the luma noise may be texture.

    For photos of any size; the other values are 0.
    """
    level = luma_level(pixels, to_srgb)
    if level < _STRONG or pixels.shape[2] == 1 or min(pixels.shape[:2]) < 2 * _SMALLEST_BLOCK:
        return NoiseEstimate(level)
    return NoiseEstimate(level, _measure(pixels, _CHROMA_BLOCK, _chroma, to_srgb)[0])


def _trusted(luma: float, chroma: float) -> float:
    """Lower luma noise that stands alone: by a power of how far it is above `_ALONE` times the chroma noise."""
    if luma < _STRONG or chroma <= _NO_COLOUR or luma <= _ALONE * chroma:
        return luma
    return luma * (_ALONE * chroma / luma) ** _DISTRUST


def luma_level(pixels: Pixels, to_srgb: Convert | None = None) -> float:
    """Estimate the luma noise level alone, for photos of any size; takes a third of the time of `estimate`."""
    missing = [max(2 * _SMALLEST_BLOCK - length, 0) for length in pixels.shape[:2]]
    if any(missing):
        pixels = np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")
    return _measure(pixels, _LUMA_BLOCK, _luma, to_srgb)[0]


def _sample(pixels: Pixels, block: int, most: int, to_srgb: Convert | None) -> Blocks:
    """Sample cells of 2×2 blocks on a regular grid, without clipped ones: (N, 2·block, 2·block, C) in [0, 255]."""
    step = max(block, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / most))))
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (2 * block, 2 * block), (0, 1))[::step, ::step]
    cells = np.moveaxis(windows, 2, -1).reshape(-1, 2 * block, 2 * block, pixels.shape[2])
    values = np.clip(np.nan_to_num(cells.astype(np.float32) / np.float32(peak(pixels.dtype))), -_BRIGHTEST, _BRIGHTEST)
    values = np.float32(255) * (values if to_srgb is None else to_srgb(values))
    np.clip(values, 0, 255, out=values)
    # Black and white cut noise off. Where hardly any cell is free of them, the least clipped ones must do.
    clipped = ((values < 0.5) | (values > 254.5)).any(3).mean((1, 2))
    allowed = max(0.02, float(quantile(clipped, 0.1)))
    return values[clipped <= allowed]


def _luma(cells: Blocks) -> Blocks:
    """Return the luma of cells (N, side, side, C), as (1, N, side, side)."""
    return cells[None, ..., 0] if cells.shape[3] == 1 else np.asarray(luma(cells), np.float32)[None]


def _chroma(cells: Blocks) -> Blocks:
    """Return R − Y and B − Y of cells (N, side, side, 3), as (2, N, side, side)."""
    return np.stack([cells[..., 0], cells[..., 2]]) - _luma(cells)


def _measure(
    pixels: Pixels,
    block: int,
    planes_of: Callable[[Blocks], Blocks],
    to_srgb: Convert | None,
) -> tuple[float, float]:
    """Estimate the standard deviation and the correlation length of the noise.

    `planes_of` maps the sampled cells to planes (P, N, side, side).
    """
    side = min(block, *(length // 2 for length in pixels.shape[:2]))
    cells = _sample(pixels, side, _CELLS[block], to_srgb)
    blocks = planes_of(cells).reshape(-1, len(cells), 2, side, 2, side).swapaxes(3, 4)
    blocks = blocks.reshape(-1, len(cells), 4, side, side)
    rest = _without_plane(blocks)
    variance = np.mean(rest**2, (3, 4)).mean(0) * side**2 / (side**2 - 3)  # (N, 4)
    uneven = variance.min(1) > _EVEN
    if np.mean(uneven) > _MOSTLY_EVEN:
        cells, rest, variance = cells[uneven], rest[:, uneven], variance[uneven]
    levels: list[float] = []
    sizes: list[int] = []
    covariance = np.zeros(side // 2 + 1)
    for group in np.array_split(np.argsort(cells.mean((1, 2, 3)), kind="stable"), min(_GROUPS, len(cells))):
        most = max(round(_FLATTEST[block] * len(group)), _FEWEST)
        chosen = [
            (group[np.argsort(variance[group][:, selecting].mean(1), kind="stable")[:most]], measured)
            for selecting, measured in (((0, 3), (1, 2)), ((1, 2), (0, 3)))
        ]
        found = [variance[flat][:, measured].mean(1) for flat, measured in chosen]
        levels.append(float(quantile(np.concatenate(found), 0.5)))
        sizes.append(len(group))
        # By the square of its precision, so that what texture is left in one group does not drown the others.
        weight = len(group) / max(levels[-1], 1e-6) ** 2
        for flat, measured in chosen:
            covariance += weight * autocovariance(rest[:, flat][:, :, measured], range(side // 2 + 1))
    limited = np.minimum(levels, _TEXTURED * min(levels))
    return float(np.sqrt(np.average(limited, weights=sizes))), correlation_length(covariance)


def _without_plane(blocks: Blocks) -> Blocks:
    """Subtract the plane that fits best from each block (…, side, side)."""
    side = blocks.shape[-1]
    slope = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    slope /= np.sqrt(side * np.sum(slope**2))
    down, across = slope[:, None], slope[None]
    rest = blocks - blocks.mean((-2, -1), keepdims=True)
    for ramp in (down, across):
        rest -= (rest * ramp).sum((-2, -1), keepdims=True) * ramp
    return rest


def correlation_length(covariance: NDArray[np.float64]) -> float:
    """Return the lag in pixels at which an autocovariance falls below `CORRELATION_LEVEL` of its value at lag 0.

    `covariance` is known at lags 0, 1, 2 …; between them it is interpolated linearly.
    """
    if covariance[0] <= 1e-6:
        return 0.0
    curve = covariance / covariance[0]
    below = np.flatnonzero(curve < CORRELATION_LEVEL)
    if not len(below):
        return float(len(curve) - 1)
    lag = int(below[0])
    return float(lag - (CORRELATION_LEVEL - curve[lag]) / (curve[lag - 1] - curve[lag]))

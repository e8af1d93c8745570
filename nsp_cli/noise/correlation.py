"""Spatial autocorrelation of noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.luma import luma as luma_of


def autocovariance(planes: NDArray[np.floating[Any]], lags: Iterable[int]) -> NDArray[np.float64]:
    """Compute the mean product of pixels `lag` apart, across and down, of (…, h, w) planes whose mean is zero."""
    h, w = planes.shape[-2:]
    return np.array(
        [
            np.mean(planes[..., lag:] * planes[..., : w - lag])
            + np.mean(planes[..., lag:, :] * planes[..., : h - lag, :])
            for lag in lags
        ],
        np.float64,
    ) / 2  # fmt: skip


def diagonal(planes: NDArray[np.floating[Any]]) -> float:
    """Return the mean product of diagonal neighbours, over both diagonals."""
    falling = np.mean(planes[..., 1:, 1:] * planes[..., :-1, :-1])
    rising = np.mean(planes[..., 1:, :-1] * planes[..., :-1, 1:])
    return float(falling + rising) / 2


class Correlation(NamedTuple):
    """Autocorrelation at lags 0 … max_lag pixels, mean of the horizontal and the vertical one.

    Index 0 is 1.0, or all are 0 where there is no noise.
    """

    luma: NDArray[np.float64]
    chroma: NDArray[np.float64]


def noise_correlation(residual: NDArray[np.floating[Any]], max_lag: int) -> Correlation:
    """Compute the autocorrelation of `residual`, noisy − clean, (H, W, 3); chroma: mean of R − Y and B − Y."""
    luma = luma_of(residual)
    of_luma, red, blue = (
        _autocorrelation(plane, max_lag) for plane in (luma, residual[..., 0] - luma, residual[..., 2] - luma)
    )
    return Correlation(of_luma, (red + blue) / 2)


def _autocorrelation(plane: NDArray[np.floating[Any]], max_lag: int) -> NDArray[np.float64]:
    covariance = autocovariance(np.asarray(plane - plane.mean(), np.float64), range(max_lag + 1))
    return covariance / covariance[0] if covariance[0] > 0 else np.zeros_like(covariance)

"""How far known noise reaches from pixel to pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsp_cli.luma import luma as luma_of


class Correlation(NamedTuple):
    """Autocorrelation at lags 0 … max_lag pixels (index 0 is 1.0), mean of the horizontal and the vertical one."""

    luma: NDArray[np.float64]
    chroma: NDArray[np.float64]


def noise_correlation(residual: NDArray[np.floating], max_lag: int) -> Correlation:
    """How far noise reaches: `residual` is noisy minus clean, (H, W, 3); chroma is the mean of R − Y and B − Y."""
    luma = luma_of(residual)
    red, blue = (_autocorrelation(residual[..., channel] - luma, max_lag) for channel in (0, 2))
    return Correlation(_autocorrelation(luma, max_lag), (red + blue) / 2)


def _autocorrelation(plane: NDArray[np.floating], max_lag: int) -> NDArray[np.float64]:
    centred = np.asarray(plane - plane.mean(), np.float64)
    height, width = centred.shape
    lags = range(max_lag + 1)
    across = np.array([np.mean(centred[:, lag:] * centred[:, : width - lag]) for lag in lags])
    down = np.array([np.mean(centred[lag:] * centred[: height - lag]) for lag in lags])
    return (across + down) / (across[0] + down[0])

"""Quantiles are those of NumPy."""

import numpy as np
import pytest

from nsp_cli.noise.quantiles import quantile


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 7, 8])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_quantiles_along_the_first_axis_are_those_of_numpy(dtype: str, count: int, fraction: float) -> None:
    values = np.random.default_rng(count).uniform(0, 255, (count, 3)).astype(dtype)
    assert quantile(values, fraction) == pytest.approx(np.quantile(values.astype(np.float64), fraction, 0), rel=1e-12)
    assert quantile(values, 0.5) == pytest.approx(np.median(values.astype(np.float64), 0), rel=1e-12)

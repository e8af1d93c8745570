"""Luma and chroma of sRGB-encoded pixels, by Rec. 601, the luma of JPEG."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B in luma (ITU-R BT.601); they sum to 1, so a grey pixel's luma is its value."""


def luma(pixels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the luma (…,) of RGB values or differences (…, 3); chroma is ``pixels - luma``."""
    return pixels @ WEIGHTS

"""Fine-tuning to a folder of noisy photos by NSP's loss, see `methods.subimages`, for networks without a blind spot.

The noise of the photos decides how far apart the pixels of input and target are: the correlation length of their luma
noise. Chroma noise is correlated over two to four times as many pixels, and so coarse a sub-image has no detail left to
learn from. The weights that are written are interpolated, as in `training.adapting`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from nsp_cli.errors import InputError, NoInputError, UsageError
from nsp_cli.image import read_srgb
from nsp_cli.methods.subimages import LONGEST
from nsp_cli.noise.estimate import NoiseEstimate, estimate

PHOTOS = 48
"""Number of photos that are analyzed, at most."""

_FAINT = 0.3
"""Standard deviation of luma noise in 8-bit units below which a photo is clean: rounding alone has 0.29."""


def to_analyze(photos: Sequence[Path]) -> Sequence[Path]:
    """Choose `PHOTOS` photos at equal distances in the list, or all of a shorter one."""
    return [photos[i * len(photos) // PHOTOS] for i in range(PHOTOS)] if len(photos) > PHOTOS else photos


def measure_distance(photos: Sequence[Path], report: Callable[[float], None] = lambda _: None) -> int:
    """Measure the least distance in pixels between input and target: the median correlation length of luma noise.

    Raises
    ------
    NoInputError
        No photo can be read.
    UsageError
        The photos have no noise, or it is correlated over more than `LONGEST` pixels.
    """
    found: list[NoiseEstimate] = []
    chosen = to_analyze(photos)
    for index, path in enumerate(chosen):
        try:
            found.append(estimate(read_srgb(path)))
        except InputError:
            continue
        report((index + 1) / len(chosen))
    if not found:
        raise NoInputError(f"None of the {len(photos)} photos can be read.")
    level = float(np.median([noise.luma for noise in found]))
    if level < _FAINT:
        raise UsageError(
            f"The photos are clean: their noise is {level:.2f} of 255 (median), and `adapt=nsp` learns from noise. "
            "Use photos with a higher ISO."
        )
    length = float(np.median([noise.luma_correlation_length for noise in found if noise.luma >= _FAINT]))
    if length > LONGEST:
        raise UsageError(
            f"The photos' noise is correlated over {length:.0f} pixels, and `adapt=nsp` takes {LONGEST} at most; use "
            "photos that were not enlarged, or `adapt=cameras`."
        )
    return max(ceil(length), 1)

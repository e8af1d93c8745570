"""Take the coarse part of a result's chroma from the photo at half its size, for the backends of this package.

The formula is that of `methods.coarse_chroma`, which is one module and so runs the network on each tile at both sizes,
with twice the halo. Here the whole photo is reduced and denoised first; a tile then takes its part of that. The network
computes a quarter more pixels, and the halo is its own. Imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.half_size import halved
from nsp_cli.engine.tiling import Region
from nsp_cli.errors import UsageError
from nsp_cli.image.frame import Frame
from nsp_cli.image.luma import luma
from nsp_cli.model.spec import Task

_Values = NDArray[np.float32]


def take_setting(settings: Mapping[str, Any], task: Task) -> tuple[dict[str, Any], bool | None]:
    """Return the settings other than "coarse_chroma", and whether that is wanted, None for the model's own.

    Raises
    ------
    UsageError
        It is neither true nor false, or wanted where the task enlarges.
    """
    others = dict(settings)
    wanted = others.pop("coarse_chroma", None)
    if wanted is not None and not isinstance(wanted, bool):
        raise UsageError(f"The setting coarse_chroma must be true or false, got {wanted!r}.")
    if wanted and task != Task.DENOISE:
        raise UsageError("`coarse_chroma` goes with denoising alone.")
    return others, wanted


def with_coarse_chroma(output: _Values, coarse: Frame, region: Region, blotch: float) -> _Values:
    """Replace the coarse part of an output's chroma where it differs by blotches, not by coloured detail.

    Parameters
    ----------
    output : ndarray
        (1, 3, h, w) float32, the network's output for a region.
    coarse : Frame
        The result (⌈H/2⌉, ⌈W/2⌉, 3) for the whole photo at half its size.
    region : Region
        The region; its top and left are even.
    blotch : float
        See `PipelineSpec.blotch`.
    """
    import cv2

    fine = np.ascontiguousarray(output[0].transpose(1, 2, 0))
    small = halved(fine)
    height, width = small.shape[:2]
    top, left = region.top // 2, region.left // 2
    difference = coarse.unit_values(slice(top, top + height), slice(left, left + width)) - small
    chroma = difference - luma(difference)[..., None]
    chroma /= 1 + np.square(chroma / np.float32(blotch)).sum(2, keepdims=True)
    large = cv2.resize(chroma, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    result = fine + np.asarray(large[: fine.shape[0], : fine.shape[1]], np.float32)
    return result.transpose(2, 0, 1)[None]

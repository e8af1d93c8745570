"""Take the coarse part of a result's chroma from the photo at half its size, for the backends of this package.

The formula is that of `methods.coarse_chroma`, which is one module and so runs the network on each tile at both sizes,
with twice the halo. Here the whole photo is reduced and denoised first; a tile then takes its part of that. The network
computes a quarter more pixels, and the halo is its own. Imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.blending import Blend
from nsp_cli.engine.conversion import Converter
from nsp_cli.engine.tiling import Region
from nsp_cli.errors import UsageError
from nsp_cli.image.frame import Frame
from nsp_cli.image.luma import luma
from nsp_cli.model.spec import HALF_SIZE_NOISE, Task

_Values = NDArray[np.float32]
_ROWS = 128  # of the photo that are reduced at once; even


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


def has_coarse_chroma(converter: Converter) -> bool:
    """Return whether the pipeline has the coarse chroma, and the change of this photo has chroma at all."""
    is_colour = converter.frame.pixels.shape[2] > 1
    return converter.spec.coarse_chroma and is_colour and converter.blend.chroma > 0


def size_of_half(frame: Frame) -> tuple[int, int, int]:
    """Return the shape of the photo at half its size, (⌈H/2⌉, ⌈W/2⌉, C)."""
    height, width, channels = frame.pixels.shape
    return -(-height // 2), -(-width // 2), channels


def at_half_size(converter: Converter) -> Converter:
    """Return a converter for the photo at half its size, whose results are the network's own.

    Its photo has ⌈H/2⌉ × ⌈W/2⌉ pixels, float32 in sRGB encoding, means of 2×2 pixels of the network's input.
    """
    height, width = converter.frame.size
    half = np.empty(size_of_half(converter.frame), np.float32)
    for region in Region(0, 0, height, width).split(_ROWS, width):
        half[region.top // 2 : -(-region.bottom // 2)] = _halved(converter.network_input(region))
    return Converter(
        Frame(half),
        replace(converter.spec, coarse_chroma=False),
        Blend(),
        None,
        None if converter.noise is None else HALF_SIZE_NOISE * converter.noise,
        limits=converter.input_limits,
    )


def with_coarse_chroma(output: _Values, coarse: _Values, region: Region, blotch: float) -> _Values:
    """Replace the coarse part of an output's chroma where it differs by blotches, not by coloured detail.

    Parameters
    ----------
    output : ndarray
        (1, 3, h, w) float32, the network's output for a region.
    coarse : ndarray
        (⌈H/2⌉, ⌈W/2⌉, 3) float32, the result for the whole photo at half its size.
    region : Region
        The region; its top and left are even.
    blotch : float
        See `PipelineSpec.blotch`.
    """
    import cv2

    fine = np.ascontiguousarray(output[0].transpose(1, 2, 0))
    small = _halved(fine)
    height, width = small.shape[:2]
    top, left = region.top // 2, region.left // 2
    difference = coarse[top : top + height, left : left + width] - small
    chroma = difference - luma(difference)[..., None]
    chroma /= 1 + np.square(chroma / np.float32(blotch)).sum(2, keepdims=True)
    large = cv2.resize(chroma, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    result = fine + np.asarray(large[: fine.shape[0], : fine.shape[1]], np.float32)
    return result.transpose(2, 0, 1)[None]


def _halved(pixels: _Values) -> _Values:
    """Return the means of 2×2 pixels of (h, w, 3); at an odd side, the outermost pixels are repeated."""
    import cv2

    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else pixels
    half = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.float32)

"""Reduce the photo to half its size, for models that denoise it at both sizes. Imports no framework.

Some models take the coarse part of their chroma from there (`engine.coarse_chroma`). For others the result is an input
of the network at full size (`networks.twoscale`); the network for the photo at half its size is then another backend.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.blending import Blend
from nsp_cli.engine.conversion import Converter
from nsp_cli.engine.tiling import Region
from nsp_cli.image.frame import Frame, Pixels, from_unit
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.noise.estimate import HALF_SIZE_NOISE

_Values = NDArray[np.float32]
_ROWS = 128  # of the photo that are reduced at once; even


def needs_half_size(converter: Converter) -> bool:
    """Return whether the photo at half its size has to be denoised, too."""
    return converter.spec.coarse_input or has_coarse_chroma(converter)


def has_coarse_chroma(converter: Converter) -> bool:
    """Return whether the pipeline has the coarse chroma, and the change of this photo has chroma at all."""
    is_colour = converter.frame.pixels.shape[2] > 1
    return converter.spec.coarse_chroma and is_colour and converter.blend.chroma > 0


def empty_half(converter: Converter) -> Pixels:
    """Return an array (⌈H/2⌉, ⌈W/2⌉, C) for the photo at half its size.

    It is uint16 for photos of 8 bits in sRGB, which saves memory, and float32 for others. A result in uint16 is clipped
    at black and white, as that of the photo will be.
    """
    frame = converter.frame
    height, width, channels = frame.pixels.shape
    is_short = frame.pixels.dtype == np.uint8 and converter.space is None and frame.below_black is None
    return np.empty((-(-height // 2), -(-width // 2), channels), np.uint16 if is_short else np.float32)


def at_half_size(converter: Converter, spec: PipelineSpec) -> Converter:
    """Return a converter for the photo at half its size and a pipeline, whose results are the network's own.

    Its photo has ⌈H/2⌉ × ⌈W/2⌉ pixels in sRGB encoding, means of 2×2 pixels of the network's input.
    """
    height, width = converter.frame.size
    half = empty_half(converter)

    def reduce(rows: Region) -> None:
        small = halved(converter.network_input(rows))
        half[rows.top // 2 : -(-rows.bottom // 2)] = from_unit(small, half.dtype)

    with ThreadPoolExecutor(2, "nsp-half") as threads:
        list(threads.map(reduce, Region(0, 0, height, width).split(_ROWS, width)))
    return Converter(
        Frame(half),
        replace(spec, coarse_chroma=False),
        Blend(),
        None,
        None if converter.noise is None else HALF_SIZE_NOISE * converter.noise,
        limits=converter.input_limits,
    )


def halved(pixels: _Values) -> _Values:
    """Return the means of 2×2 pixels of (h, w, C); an odd side is extended by reflection, as `pad_tile` does."""
    height, width, channels = pixels.shape
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "reflect") if height % 2 or width % 2 else pixels
    rows = even[::2] + even[1::2]  # not by OpenCV: a small photo starts without it
    pairs = rows.reshape(len(rows), -1, 2, channels)
    return np.asarray(0.25 * (pairs[:, :, 0] + pairs[:, :, 1]), np.float32)

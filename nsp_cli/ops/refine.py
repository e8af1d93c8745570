"""R3, random replacing refinement: run the network on its result, with some noisy pixels put back.

PD is what breaks the correlation of a camera's noise, and also what aliases fine detail. The result has little noise
left, so the network can be run on it without PD; noisy pixels that are put back at random keep it from smoothing the
same places again and again, and their mean takes the noise out. Source: AP-BSN (CVPR 2022): eight passes, 16% of the
pixels.

The released program draws its masks anew for every photo. Here they are fixed and repeat (`ops.masks`), each pass
having its own: a tile then equals the whole photo, and a photo denoised twice is the same photo.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nsp_cli.ops.masks import repeat_pattern

REPLACE_FRACTION = 0.16
"""Fraction of the result's pixels that each pass replaces by the photo's, as published."""

PASSES = 8
"""Number of passes, as published."""


def refine(denoise: Callable[[Tensor], Tensor], noisy: Tensor, result: Tensor, replaced: Tensor) -> Tensor:
    """Average `denoise` over one pass for each replacement pattern.

    Parameters
    ----------
    denoise : callable
        Maps (N, C, H, W) to the same, without PD.
    noisy, result : Tensor
        The photo and the denoised photo, (N, C, H, W) each.
    replaced : Tensor
        (passes, 1 or C, PERIOD, PERIOD) bool, which of the result's pixels are the photo's again, in all channels alike
        or in each its own; at least one pass.
    """
    # One pass after another: all in one batch would need the memory of all.
    passes = [denoise(torch.where(repeat_pattern(p[None], noisy), noisy, result)) for p in replaced.unbind()]
    return torch.stack(passes).mean(0)

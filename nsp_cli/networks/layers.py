"""Parts that several networks share: NSP's next-scale tail (CVPR 2026) and the path through a U-Net's levels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.noise.estimate import HALF_SIZE_NOISE
from nsp_cli.system.arguments import Between

Activation = Callable[[], nn.Module]

_CHANNELS_AT_ONCE = 8  # that a convolution computes on processors with AVX2

Channels = Annotated[int, Between(1, 4)]
Width = Annotated[int, Between(1, 1024)]
Depth = Annotated[int, Between(0, 64)]
Levels = Annotated[int, Between(1, 8)]
Scale = Annotated[int, Between(1, 8)]
"""Bounds of networks' arguments, far above those of any published network."""
Widths = Annotated[tuple[Width, ...], Between(1, 8)]
Depths = Annotated[tuple[Depth, ...], Between(1, 8)]


def mixers(widths: tuple[int, ...], activation: Activation, bias: bool = True) -> list[nn.Module]:
    """Build 1×1 convolutions from each width to the next, with an activation after each."""
    return [layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 1, bias=bias), activation())]


def next_scale_tail(width: int, scale: int, activation: Activation, bias: bool = True) -> tuple[nn.Sequential, int]:
    """Build two 1×1 convolutions, pixel-shuffle by t and two more; return them, and the width width/t² of their output.

    (N, width, h, w) → (N, width/t², t·h, t·w).
    """
    fine = max(width // scale**2, 1)
    coarse = mixers((width, width, fine * scale**2), activation, bias)
    return nn.Sequential(*coarse, nn.PixelShuffle(scale), *mixers((fine, fine, fine), activation, bias)), fine


def halve(x: Tensor, channels: int) -> Tensor:
    """Return the means of 2×2 pixels of photos (N, C, h, w), or (N, C + 1, h, w), a lower noise level; even sides."""
    half = F.avg_pool2d(x, 2)
    return torch.cat([half[:, :channels], HALF_SIZE_NOISE * half[:, channels:]], 1)


def convolve_to_outputs(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Convolve (N, I, h, w) to (N, O, h, w) with zeros around it, as a network's last layer does; odd kernels.

    The channels are computed in eights: OpenVINO needs as long for 12 of float32 as for 24 (`docs/experiments.md`,
    2026-11-29).
    """
    outputs = len(weight)
    spare = -outputs % _CHANNELS_AT_ONCE
    padded = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, spare))
    return F.conv2d(x, padded, None if bias is None else F.pad(bias, (0, spare)), padding=padding)[:, :outputs]


class HasLevels(Protocol):
    """`down`, `shrink`, `up` and `grow` have one entry for each level but the lowest, which is `bottom`."""

    down: nn.ModuleList
    shrink: nn.ModuleList
    bottom: nn.Sequential
    up: nn.ModuleList
    grow: nn.ModuleList


def through_levels(network: HasLevels, features: Tensor) -> Tensor:
    """Run features (N, C, h, w) down the levels and up again, with each level's features added on the way up."""
    skips: list[Tensor] = []
    for stage, shrink in zip(network.down, network.shrink, strict=True):
        features = stage(features)
        skips.append(features)
        features = shrink(features)
    features = network.bottom(features)
    for stage, grow in zip(reversed(network.up), reversed(network.grow), strict=True):
        features = stage(F.pixel_shuffle(grow(features), 2) + skips.pop())
    return features

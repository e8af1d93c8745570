"""The way through a U-Net whose levels are blocks between a 2×2 convolution down and a pixel-shuffle up."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Levels(Protocol):
    """`down`, `shrink`, `up` and `grow` have one entry for each level but the lowest, which is `bottom`."""

    down: nn.ModuleList
    shrink: nn.ModuleList
    bottom: nn.Sequential
    up: nn.ModuleList
    grow: nn.ModuleList


def through_levels(network: Levels, features: Tensor) -> Tensor:
    """Down, and up again with what was passed on the way added: (N, C, h, w) to the same."""
    skips: list[Tensor] = []
    for stage, shrink in zip(network.down, network.shrink, strict=True):
        features = stage(features)
        skips.append(features)
        features = shrink(features)
    features = network.bottom(features)
    for stage, grow in zip(reversed(network.up), reversed(network.grow), strict=True):
        features = stage(F.pixel_shuffle(grow(features), 2) + skips.pop())
    return features

"""The 1×1 convolutions at the end of a blind-spot network, with NSP's pixel-shuffle between them (CVPR 2026)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import nn

Activation = Callable[[], nn.Module]


def mixers(widths: tuple[int, ...], activation: Activation, bias: bool = True) -> list[nn.Module]:
    """1×1 convolutions from each width to the next, an activation after each."""
    return [layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 1, bias=bias), activation())]


def next_scale_tail(width: int, scale: int, activation: Activation, bias: bool = True) -> tuple[nn.Sequential, int]:
    """Two convolutions, pixel-shuffle by t, two more: (N, width, h, w) → (N, width/t², t·h, t·w), and that width/t²."""
    fine = max(width // scale**2, 1)
    coarse = mixers((width, width, fine * scale**2), activation, bias)
    return nn.Sequential(*coarse, nn.PixelShuffle(scale), *mixers((fine, fine, fine), activation, bias)), fine

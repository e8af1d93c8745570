"""Random patterns of pixels that repeat over a photo: the same for a tile as for the whole photo.

A random choice of pixels that is drawn for each photo would change from tile to tile. These patterns are drawn once,
and repeat every `PERIOD` pixels: a tile whose origin is a multiple of `PERIOD` chooses the very same pixels.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

PERIOD = 16
"""Pixels after which a pattern repeats, down and across."""


def draw_patterns(count: int, fraction: float, seed: int = 0, channels: int = 1) -> Tensor:
    """Draw patterns in which round(fraction · PERIOD²) pixels are chosen, each channel having its own.

    Returns (count, channels, PERIOD, PERIOD) bool on the CPU.
    """
    generator = Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(PERIOD * PERIOD, generator=generator) for _ in range(count * channels)])
    return (order < round(fraction * PERIOD * PERIOD)).view(count, channels, PERIOD, PERIOD)


def repeat_pattern(pattern: Tensor, like: Tensor) -> Tensor:
    """Repeat (K, C, PERIOD, PERIOD) over a photo (…, H, W), (K, C, H, W).

    Written with gathers, because an ONNX graph for photos of any size has no other way.
    """
    rows, columns = (torch.arange(side, device=pattern.device) % PERIOD for side in like.shape[-2:])
    return pattern.index_select(-2, rows).index_select(-1, columns)

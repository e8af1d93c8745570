"""A small plain network in the manner of NAFNet: gates instead of activations, attention left out.

Source: Chen et al., "Simple baselines for image restoration" (ECCV 2022). Theirs weighs the channels by their average
over the whole picture. A tile has another average than its photo, so here there is no such weight. It is much smaller
than theirs, too: 833,443 parameters by default.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from nsp_cli.networks.layers import Channels, Depths, Widths, through_levels


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, (N, C, h, w) → the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W) over the channels."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Gate(nn.Module):
    """Half of the channels times the other half, (N, 2C, h, w) → (N, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        return first * second


class _Block(nn.Module):
    """x + a·spatial(x), then x + b·mixing(x); a and b, one for each channel, start at 0: the block as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            ChannelNorm(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width),
            _Gate(),
            nn.Conv2d(width, width, 1),
        )
        self.mixing = nn.Sequential(
            ChannelNorm(width), nn.Conv2d(width, 2 * width, 1), _Gate(), nn.Conv2d(width, width, 1)
        )
        self.a = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.b = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.a * self.spatial(x)
        return x + self.b * self.mixing(x)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


class NAFNet(nn.Module):
    """A U-Net of gated blocks, (N, C, h, w) → (N, C, h, w), sides multiples of 2^(len(widths) − 1).

    It adds what it predicts to its input, and starts as the identity.

    Parameters
    ----------
    widths, depths
        Feature channels and blocks of each level, the photo's size first; all but the last have as many blocks again on
        the way up.
    """

    scale = 1
    input_skip = True

    def __init__(self, channels: Channels = 3, widths: Widths = (32, 64, 128), depths: Depths = (2, 2, 6)) -> None:
        super().__init__()
        self.size_multiple = 2 ** (len(widths) - 1)
        self.activation_floats_per_pixel = 8 * widths[0]
        self.receptive_field_radius = _radius(tuple(depths))
        inner = list(zip(widths, depths, strict=True))[:-1]
        self.head = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(w, n) for w, n in inner)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.bottom = _blocks(widths[-1], depths[-1])
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1, bias=False) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_blocks(w, n) for w, n in inner)
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        features = through_levels(self, self.head(x))
        with torch.autocast(x.device.type, enabled=False):
            return x + self.last(features.float())


def _radius(depths: tuple[int, ...]) -> int:
    """Return the receptive field's radius: each block adds one pixel of its level, 2^level of the photo."""
    reach = depths[-1]
    for depth in reversed(depths[:-1]):
        reach = 2 * reach + 1 + 2 * depth
    return reach + 2

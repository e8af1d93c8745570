"""Plain U-Nets, without a blind spot: every output pixel depends on its own input pixel."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks.layers import Channels, Depths, Scale, Width, Widths, convolve_to_outputs, through_levels
from nsp_cli.system.arguments import Between

LEVEL_GAIN = 5.0
"""Noise of a fifth of white is the heaviest that there is; times this, it is as large as the photo's values."""

USUAL_LEVEL = 5 / 255  # noise level, white = 1, that replaces an input which is dropped, see `ResUNet.adopt`


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.1))


class UNet(nn.Module):
    """RD's student, (N, C, h, w) → (N, C, h, w), sides multiples of 2^levels; 1,003,011 parameters by default.

    The shape of AT-BSN's U-Net without its shifts: every level has `width` channels on the way down and twice as many
    on the way up. Source: APR-RD (AAAI 2025), after Noise2Noise (ICML 2018).

    Parameters
    ----------
    channels, width, levels : int
        Colour channels, feature channels on the way down, poolings.
    intro : bool
        Whether a convolution precedes the first encoder stage, and the last level concatenates the photo. Without it
        the last level concatenates the first stage's features: 1,021,107 parameters, the student of TM-BSN.
    skips : str
        Features that the other levels concatenate: "pooled", the pooled ones that enter a stage, or "features", those
        that leave it.
    output_slope : float
        Slope below zero of a LeakyReLU after the last convolution; 1 leaves it out.

    Raises
    ------
    ModelError
        `skips` has another value.
    """

    scale = 1

    def __init__(
        self,
        channels: Channels = 3,
        width: Width = 48,
        levels: Annotated[int, Between(2, 8)] = 5,
        intro: bool = True,
        skips: str = "pooled",
        output_slope: Annotated[float, Between(0, 1)] = 1.0,
    ) -> None:
        super().__init__()
        if skips not in ("pooled", "features"):
            raise ModelError(f"The setting skips must be pooled or features, got '{skips}'.")
        self.skips, self.output_slope = skips, output_slope
        self.size_multiple = 2**levels
        # Two pixels at full size, and at each level half as large two on the way down and up to six on the way up.
        self.receptive_field_radius = 2 + sum(4 * 2**level for level in range(levels)) + 2**levels
        self.activation_floats_per_pixel = 6 * width
        self.intro = _conv(channels, width) if intro else None
        first = width if intro else channels
        self.down = nn.ModuleList(_conv(first if level == 0 else width, width) for level in range(levels))
        self.bottom = _conv(width, width)
        up = [2 * width, *[3 * width] * (levels - 2)]
        self.up = nn.ModuleList(nn.Sequential(_conv(c, 2 * width), _conv(2 * width, 2 * width)) for c in up)
        self.top = _conv(2 * width + (channels if intro else width), 2 * width)
        self.last = nn.Conv2d(2 * width, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, scale·H, scale·W)."""
        skips, pooled = [], x if self.intro is None else self.intro(x)
        for level, stage in enumerate(self.down):
            features = stage(pooled)
            if level == 0:
                skips.append(features if self.intro is None else x)
            else:
                skips.append(features if self.skips == "features" else pooled)
            pooled = F.max_pool2d(features, 2)
        features = self.bottom(pooled)
        for stage in (*self.up, self.top):
            features = stage(torch.cat([F.interpolate(features, scale_factor=2), skips.pop()], 1))
        with torch.autocast(x.device.type, enabled=False):
            out = self.last(features.float())
            return out if self.output_slope == 1 else F.leaky_relu(out, self.output_slope)


class _Block(nn.Module):
    """Residual block: x + conv(ReLU(conv(x))), which starts as the identity."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, width, 3, padding=1)
        )
        for parameter in self.body[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResUNet(nn.Module):
    """A residual U-Net on 2×2 cells, (N, C, h, w) → (N, C, t·h, t·w), sides multiples of 2^len(widths).

    It works at half the photo's size and below, for speed: a pixel-unshuffle turns each 2×2 cell into one pixel of 4·C
    channels. After FFDNet (Zhang et al., TIP 2018) and DRUNet (Zhang et al., TPAMI 2021), smaller than either.

    Parameters
    ----------
    widths, depths
        Feature channels and residual blocks of each level, the one of half the photo's size first; all but the last
        have as many blocks again on the way up.
    scale : int
        t; the network adds to the photo itself, or to its bicubic enlargement.
    noise_level : bool
        Whether the noise level is an input: one more channel, see `networks.is_noise_conditional`.
    hidden : tuple of int
        Feature channels between the two convolutions of a level's blocks; by default as many as around them.
        `examples/thin_weights.py` trains networks with fewer.
    """

    input_skip = True

    def __init__(
        self,
        channels: Channels = 3,
        widths: Widths = (48, 64, 96),
        depths: Depths = (2, 2, 3),
        scale: Scale = 1,
        noise_level: bool = False,
        hidden: Widths | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.scale, self.noise_level = channels, scale, noise_level
        levels = len(widths)
        hidden = widths if hidden is None else hidden
        self.size_multiple = 2**levels
        self.activation_floats_per_pixel = 3 * widths[0]
        # A block reaches two cells of its level, and a level has its blocks twice; crossing a level costs a cell more.
        reach = [2 ** (i + 1) * (4 * n + 2) for i, n in enumerate(depths)]
        self.receptive_field_radius = 4 + sum(reach[:-1]) + 2**levels * (2 * depths[-1] + 1)
        inner = list(zip(widths, hidden, depths, strict=True))[:-1]
        self.head = nn.Conv2d(4 * (channels + noise_level), widths[0], 3, padding=1)
        self.down = nn.ModuleList(residual_blocks(*level) for level in inner)
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.bottom = residual_blocks(widths[-1], hidden[-1], depths[-1])
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(residual_blocks(*level) for level in inner)
        self.last = nn.Conv2d(widths[0], 4 * scale**2 * channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]

    def adopt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn the weights of another `ResUNet` into weights of this one that give the same output at first.

        The other network may lack the noise level or have it where this one lacks it, may not enlarge, and may have
        fewer channels and blocks in a level (after Net2Net, Chen et al., ICLR 2016). What it adds to a pixel, this one
        adds to all t² pixels that it becomes; a new noise level changes nothing yet, and one that is dropped counts as
        `USUAL_LEVEL` (except at the photo's edge); new channels start at random and are not read by old ones, and new
        blocks are the identity.

        Parameters
        ----------
        state : mapping
            Weights by name. Those of a network that does not fit are returned as they are.
        """
        adopted = dict(state)
        self._adopt_head(adopted)
        self._adopt_last(adopted)
        own = self.state_dict()
        if any(name not in own or not _fits_into(weight, own[name]) for name, weight in adopted.items()):
            return adopted
        return {name: _widened(adopted[name], weight) if name in adopted else weight for name, weight in own.items()}

    def _adopt_head(self, adopted: dict[str, Tensor]) -> None:
        head, cells = adopted.get("head.weight"), 4 * self.channels
        if head is None or head.shape[1] == self.head.in_channels:
            return
        if head.shape[1] == cells:
            adopted["head.weight"] = torch.cat([head, head.new_zeros((len(head), 4, *head.shape[2:]))], 1)
        elif head.shape[1] == cells + 4:
            adopted["head.weight"] = head[:, :cells].contiguous()
            adopted["head.bias"] = adopted["head.bias"] + LEVEL_GAIN * USUAL_LEVEL * head[:, cells:].sum((1, 2, 3))

    def _adopt_last(self, adopted: dict[str, Tensor]) -> None:
        t, cells = self.scale, 2 * self.scale
        rows = torch.arange(cells) // t
        from_cell = 2 * rows[:, None] + rows  # pixel-shuffle's order
        for name in ("last.weight", "last.bias"):
            old = adopted.get(name)
            if old is not None and len(old) * t * t == len(self.last.weight):
                adopted[name] = old.unflatten(0, (-1, 4))[:, from_cell.flatten()].flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Restore photos (N, C, h, w), or (N, C + 1, h, w) with the noise level, to (N, C, t·h, t·w)."""
        x, level = x[:, : self.channels], x[:, self.channels :]
        features = through_levels(self, self.head(F.pixel_unshuffle(torch.cat([x, LEVEL_GAIN * level], 1), 2)))
        with torch.autocast(x.device.type, enabled=False):
            base = x if self.scale == 1 else F.interpolate(x.float(), scale_factor=self.scale, mode="bicubic")
            outputs = convolve_to_outputs(features.float(), self.last.weight, self.last.bias, 1)
            return base + F.pixel_shuffle(outputs, 2 * self.scale)


def residual_blocks(width: int, hidden: int, count: int) -> nn.Sequential:
    """Build `count` residual blocks, (N, width, h, w) → (N, width, h, w), that start as the identity."""
    return nn.Sequential(*(_Block(width, hidden) for _ in range(count)))


def _fits_into(small: Tensor, large: Tensor) -> bool:
    return small.dim() == large.dim() and all(a <= b for a, b in zip(small.shape, large.shape, strict=True))


def _widened(old: Tensor, new: Tensor) -> Tensor:
    """Put the weight of a convolution into a larger one, whose first outputs then ignore the new inputs.

    Parameters
    ----------
    old : Tensor
        (C', C, k, k) weight or (C',) bias.
    new : Tensor
        The initial weight of the larger convolution; its other outputs stay as they are.
    """
    widened = new.clone()
    outputs = len(old)
    if old.dim() > 1:
        widened[:outputs] = 0
        widened[:outputs, : old.shape[1]] = old
    else:
        widened[:outputs] = old
    return widened

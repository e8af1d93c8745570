"""AT-BSN, a blind-spot network with a blind spot of adjustable size, and a pixel-shuffle tail for NSP.

A U-Net whose receptive field ends at its own row runs on the photo rotated by 0, 90, 180 and 270°. Its features move
down by k rows, are rotated back and joined, so each pixel depends on the four half-planes k rows or columns away: all
but a square of (2k − 1)×(2k − 1) around itself. k is chosen at each call: a network that was trained with a large blind
spot also works with a small one.

Source: Chen et al., "Exploring asymmetric tunable blind-spots for self-supervised denoising" (AT-BSN, CVPR 2024), in
the shape that APR-RD (AAAI 2025) publishes; the half-planes are those of Laine et al. (NeurIPS 2019). The tail for
t > 1 is ours, after NSP's on DBSN, and so is the residual prediction.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.networks.layers import Channels, Levels, Scale, Width
from nsp_cli.system.arguments import Between

_SLOPE = 0.1  # of LeakyReLU below 0


class _UpwardConv(nn.Conv2d):
    """A 3×3 convolution of a row and the two above it, then LeakyReLU; (N, C, h, w) → (N, C', h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=(2, 1))

    def forward(self, input: Tensor) -> Tensor:
        # Two rows of zeros above and none below: the same as to pad one row at the top and crop one at the bottom.
        return F.leaky_relu(super().forward(input)[..., :-2, :], _SLOPE, inplace=True)


class _UpwardUNet(nn.Module):
    """(N, C, h, w) → (N, 2·width, h, w), sides multiples of 2^levels; row r depends on rows up to r and none below."""

    def __init__(self, channels: int, width: int, levels: int) -> None:
        super().__init__()
        self.intro = _UpwardConv(channels, width)
        self.down = nn.ModuleList(_UpwardConv(width, width) for _ in range(levels))
        self.bottom = _UpwardConv(width, width)
        skips = [width] * (levels - 1) + [channels]
        below = [width] + [2 * width] * (levels - 1)
        self.up = nn.ModuleList(
            nn.Sequential(_UpwardConv(a + b, 2 * width), _UpwardConv(2 * width, 2 * width))
            for a, b in zip(below, skips, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        features = self.intro(x)
        for stage in self.down:
            # Row i of the pooled features comes from rows 2i − 1 and 2i, and grows into rows 2i and 2i + 1 again.
            features = F.max_pool2d(_lowered(stage(features), 1), 2)
            skips.append(features)
        features = self.bottom(skips.pop())
        for stage in self.up:
            features = stage(torch.cat([F.interpolate(features, scale_factor=2), skips.pop()], 1))
        return features


class ATBSN(nn.Module):
    """Blind-spot network (N, C, h, w) → (N, C, t·h, t·w), values around [0, 1]; sides multiples of 2^levels.

    1,268,547 parameters by default. No output of the t×t block that an input pixel grows into depends on the pixels of
    the (2k − 1)×(2k − 1) square around that pixel; with k = 0 it depends on the pixel itself.

    Parameters
    ----------
    channels, width, levels : int
        Colour channels, feature channels on the way down (twice as many on the way up), poolings.
    scale : int
        t, the factor from input to output.
    blind_spot_size : int
        Default of the blind-spot radius k in `forward`: the distance from a pixel to the nearest ones in its row and
        column that its output depends on. k masks a square of (2k − 1)×(2k − 1) pixels; with 0 nothing is masked.
    residual : bool
        Whether to predict the difference from the mean of the four pixels that are k above, below, left and right
        (`rim_average`) instead of the photo itself; the last convolution starts at zero, so training starts from a
        blurred photo.
    """

    def __init__(
        self,
        channels: Channels = 3,
        width: Width = 48,
        levels: Levels = 5,
        scale: Scale = 1,
        blind_spot_size: Annotated[int, Between(0, 16)] = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.blind_spot_size = scale, blind_spot_size
        self.residual = self.input_skip = residual
        self.size_multiple = 2**levels
        # Rows upwards, the farthest direction. Rows of a level: down 3 (convolution 2, shift 1), up 5 (two convolutions
        # 4, upsampling 1); intro and bottom 2 each.
        self.half_plane_radius = 2 + 3 * (2**levels - 1) + 2 * 2**levels + 5 * (2**levels - 1)
        self.receptive_field_radius = self.half_plane_radius + blind_spot_size
        self.activation_floats_per_pixel = 27 * width
        self.unet = _UpwardUNet(channels, width, levels)
        self.fuse = nn.Sequential(
            nn.Conv2d(8 * width, 8 * width, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(8 * width, 2 * width * scale**2, 1),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.PixelShuffle(scale),
        )
        self.last = nn.Conv2d(2 * width, channels, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, _SLOPE)
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, blind_spot_size: int | None = None) -> Tensor:
        """Map (N, C, h, w) to (N, C, t·h, t·w); `blind_spot_size` is k for this call, None the network's default."""
        k = self.blind_spot_size if blind_spot_size is None else blind_spot_size
        features = self.fuse(self._half_planes(x, k))
        with torch.autocast(x.device.type, enabled=False):
            out = self.last(features.float())
            return out + F.interpolate(rim_average(x.float(), k), scale_factor=self.scale) if self.residual else out

    def _half_planes(self, x: Tensor, k: int) -> Tensor:
        """Compute features (N, 8·width, h, w) of what lies above, below, right and left of each pixel, k away."""
        # A photo and its half turn have one shape, the quarter turns another: two batches for photos of any shape.
        above, below = _lowered(self.unet(torch.cat([x, _half_turn(x)])), k).chunk(2)
        right, left = _lowered(self.unet(torch.cat([_left(x), _right(x)])), k).chunk(2)
        return torch.cat([above, _half_turn(below), _right(right), _left(left)], 1)


def rim_average(x: Tensor, k: int) -> Tensor:
    """Average the four pixels k above, below, left and right of each pixel, (N, C, h, w) to the same.

    At the border the mean is that of the pixels that exist; where there are none, the result is 0.
    """
    ones = torch.ones_like(x[:1, :1])
    sums, counts = (
        _lowered(y, k)
        + _half_turn(_lowered(_half_turn(y), k))
        + _right(_lowered(_left(y), k))
        + _left(_lowered(_right(y), k))
        for y in (x, ones)
    )
    return sums / counts.clamp_min(1)


def _lowered(features: Tensor, rows: int) -> Tensor:
    """Shift (…, h, w) down by some rows, with zeros above."""
    return F.pad(features, (0, 0, rows, 0))[..., : features.shape[-2], :]


def _left(photo: Tensor) -> Tensor:
    """Rotate a quarter turn to the left, (…, h, w) → (…, w, h); by transposing, which ONNX has for any size."""
    return photo.transpose(-2, -1).flip(-2)


def _right(photo: Tensor) -> Tensor:
    """Rotate a quarter turn to the right, (…, h, w) → (…, w, h): the inverse of `_left`."""
    return photo.transpose(-2, -1).flip(-1)


def _half_turn(photo: Tensor) -> Tensor:
    return photo.flip(-2, -1)

"""The U-Net of Noise2Noise with transposed convolutions, which AMSNet is published with."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.networks.layers import Channels, Width
from nsp_cli.system.arguments import Between


class N2NUNet(nn.Module):
    """Plain U-Net (N, C, h, w) → (N, C, h, w), sides multiples of 2^levels; 7,935,555 parameters by default.

    Sources: Noise2Noise (ICML 2018) and Laine et al. (NeurIPS 2019) for the shape, AMSNet (ECCV 2024) for the width,
    the slope and the transposed convolutions. It has no blind spot.

    Parameters
    ----------
    channels : int
        Colour channels.
    width : int
        Feature channels on the way down; the way up has twice as many.
    levels : int
        Number of poolings.
    top_width : int
        Feature channels at full size on the way up.
    slope : float
        Slope of LeakyReLU below zero.
    """

    scale = 1

    def __init__(
        self,
        channels: Channels = 3,
        width: Width = 128,
        levels: Annotated[int, Between(2, 8)] = 5,
        top_width: Width = 96,
        slope: Annotated[float, Between(0, 1)] = 0.2,
    ) -> None:
        super().__init__()
        self.size_multiple = 2**levels
        # As `networks.unet.UNet`: a transposed convolution reads one pixel for each that it writes.
        self.receptive_field_radius = 2 + sum(4 * 2**level for level in range(levels)) + 2**levels
        self.activation_floats_per_pixel = 2 * (2 * width + channels) + 2 * top_width

        def conv(inputs: int, outputs: int, kernel_size: int = 3) -> nn.Sequential:
            layer = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)
            nn.init.kaiming_normal_(layer.weight, slope)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
            return nn.Sequential(layer, nn.LeakyReLU(slope))

        self.intro = conv(channels, width)
        self.down = nn.ModuleList(conv(width, width) for _ in range(levels))
        self.bottom = conv(width, width)
        stages: list[nn.Module] = []
        for level in reversed(range(levels)):
            below = width if level == levels - 1 else 2 * width
            skip, wide = (width, 2 * width) if level else (channels, top_width)
            grow = nn.ConvTranspose2d(below, below, 2, stride=2)
            stages.append(nn.ModuleList([grow, nn.Sequential(conv(below + skip, wide), conv(wide, wide))]))
        self.up = nn.ModuleList(stages)
        self.mix = nn.Sequential(conv(top_width, top_width, 1), conv(top_width, top_width, 1))
        self.last = nn.Conv2d(top_width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        skips, features = [x], self.intro(x)
        for stage in self.down:
            features = F.max_pool2d(stage(features), 2)
            skips.append(features)
        features = self.bottom(skips.pop())
        for grow, stage in self.up:  # pyright: ignore[reportGeneralTypeIssues]
            features = stage(torch.cat([grow(features), skips.pop()], 1))
        features = self.mix(features)
        with torch.autocast(x.device.type, enabled=False):
            return self.last(features.float())

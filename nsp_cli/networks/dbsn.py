"""DBSN, the dilated blind-spot network, with NSP's pixel-shuffle tail.

Sources: Wu et al., "Unpaired learning of deep image denoising" (ECCV 2020); AP-BSN (CVPR 2022); NSP (CVPR 2026).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CentralMaskedConv2d(nn.Conv2d):
    """A convolution that cannot see the pixel it sits on: the centre is multiplied by zero in the forward pass."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2)
        mask = torch.ones(1, 1, kernel_size, kernel_size)
        mask[..., kernel_size // 2, kernel_size // 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)  # pyright: ignore


class _Module(nn.Module):
    """Residual block: x + 1×1(GELU(3×3 dilated(x)))."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation), nn.GELU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _branch(width: int, depth: int, kernel_size: int) -> nn.Sequential:
    # A dilation of half the masked kernel's side plus one never lands on the centre again, so the branch stays blind.
    dilation = kernel_size // 2 + 1
    return nn.Sequential(
        CentralMaskedConv2d(width, kernel_size),
        nn.GELU(),
        *(layer for _ in range(2) for layer in (nn.Conv2d(width, width, 1), nn.GELU())),
        *(_Module(width, dilation) for _ in range(depth)),
        nn.Conv2d(width, width, 1),
        nn.GELU(),
    )


class DBSN(nn.Module):
    """Blind-spot network (N, C, h, w) → (N, C, t·h, t·w), values around [0, 1].

    No output of the t×t block that an input pixel grows into depends on that pixel.

    Parameters
    ----------
    channels, width, depth : colour channels, feature channels, residual modules in a branch
    scale : t, the factor from input to output
    residual : predict the difference from a fixed blind average of the eight neighbours (`blind_average`) instead of
        the photo itself; the last convolution starts at zero, so training starts from a blurred photo
    """

    multiple = 1
    """The network's own downsampling."""

    def __init__(
        self, channels: int = 3, width: int = 128, depth: int = 9, scale: int = 2, residual: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.residual = residual
        self.radius = max(1 + 2 * depth, 2 + 3 * depth)
        self.working_floats = 9 * width
        self.head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
        self.branches = nn.ModuleList([_branch(width, depth, 3), _branch(width, depth, 5)])
        shuffled = max(2 * width // scale**2, 1)
        self.tail = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 1),
            nn.GELU(),
            nn.Conv2d(2 * width, shuffled * scale**2, 1),
            nn.GELU(),
            nn.PixelShuffle(scale),
            nn.Conv2d(shuffled, shuffled, 1),
            nn.GELU(),
            nn.Conv2d(shuffled, shuffled, 1),
            nn.GELU(),
        )
        self.last = nn.Conv2d(shuffled, channels, 1)
        _initialise(self)
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        features = self.tail(torch.cat([branch(features) for branch in self.branches], 1))
        # bf16 has eight bits of precision, a photo has eight or more: the last step is always float32.
        with torch.autocast(x.device.type, enabled=False):
            out = self.last(features.float())
            return out + F.interpolate(blind_average(x.float()), scale_factor=self.scale) if self.residual else out


def _initialise(network: nn.Module) -> None:
    """He's rule everywhere, and residual modules that start as the identity.

    PyTorch's own start shrinks the signal by a factor in each of some twenty layers without normalisation: the
    gradient that reaches the first ones is then 1e-10, and thousands of steps go by before anything is learned.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in network.modules():
        if isinstance(layer, _Module):
            nn.init.zeros_(layer.body[-1].weight)  # pyright: ignore[reportArgumentType]


def blind_average(x: Tensor) -> Tensor:
    """Average the eight neighbours of each pixel with weights 1 2 1 / 2 0 2 / 1 2 1, (N, C, h, w) to the same.

    At the border the weights of the neighbours that exist add up to one. A single pixel has none and becomes 0.
    """
    weight = x.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]).expand(x.shape[1], 1, 3, 3)
    total = F.conv2d(x, weight, padding=1, groups=x.shape[1])
    share = F.conv2d(torch.ones_like(x[:1, :1]), weight[:1], padding=1)
    return total / share.clamp(min=1)

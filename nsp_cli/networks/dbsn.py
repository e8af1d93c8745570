"""DBSN, the dilated blind-spot network, with NSP's pixel-shuffle tail or AP-BSN's plain one.

Sources: Wu et al., "Unpaired learning of deep image denoising" (ECCV 2020); AP-BSN (CVPR 2022); NSP (CVPR 2026).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks.layers import Activation, Channels, Depth, Scale, Width, mixers, next_scale_tail
from nsp_cli.system.arguments import Between


class Variant(StrEnum):
    """Published variants of DBSN, which differ in the tail's 1×1 convolutions and in the activation."""

    NSP = "nsp"
    """Tail 2w → 2w → 2w, pixel-shuffle t, → 2w/t² → 2w/t² → C, with GELU; 3,750,723 parameters with t = 2."""
    APBSN = "apbsn"
    """Tail 2w → w → w/2 → w/2 → C, with ReLU, for t = 1 alone; 3,656,131 parameters."""


class CentralMaskedConv2d(nn.Conv2d):
    """A convolution whose kernel has a zero at its centre."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=bias)
        mask = torch.ones(1, 1, kernel_size, kernel_size)
        mask[..., kernel_size // 2, kernel_size // 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve without the kernel's central weight."""
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)  # pyright: ignore


class _Module(nn.Module):
    """Residual block: x + 1×1(activation(3×3 dilated(x)))."""

    def __init__(self, width: int, dilation: int, activation: Activation) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation), activation(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _branch(width: int, depth: int, kernel_size: int, activation: Activation) -> nn.Sequential:
    """Build a branch of DBSN: a masked convolution, then `depth` residual modules."""
    # A dilation of half the masked kernel's side plus one never lands on the centre again, so the branch stays blind.
    dilation = kernel_size // 2 + 1
    return nn.Sequential(
        CentralMaskedConv2d(width, width, kernel_size),
        activation(),
        *(layer for _ in range(2) for layer in (nn.Conv2d(width, width, 1), activation())),
        *(_Module(width, dilation, activation) for _ in range(depth)),
        nn.Conv2d(width, width, 1),
        activation(),
    )


class DBSN(nn.Module):
    """Blind-spot network (N, C, h, w) → (N, C, t·h, t·w), values around [0, 1].

    No output of the t×t block that an input pixel grows into depends on that pixel.

    Parameters
    ----------
    channels, width, depth : int
        Colour channels, feature channels, residual modules in a branch.
    scale : int
        t, the factor from input to output.
    residual : bool
        Whether to predict the difference from a fixed blind average of the eight neighbours (`blind_average`) instead
        of the photo itself; the last convolution starts at zero, so training starts from a blurred photo.
    variant : str
        A `Variant`.
    value_range : float
        Value of white inside the network, which takes and gives photos in [0, 1]; AP-BSN's release has 255.

    Raises
    ------
    ModelError
        No such variant, or AP-BSN's with t above 1.
    """

    size_multiple = 1
    """The network's own downsampling."""

    def __init__(
        self,
        channels: Channels = 3,
        width: Width = 128,
        depth: Depth = 9,
        scale: Scale = 2,
        residual: bool = False,
        variant: str = Variant.NSP,
        value_range: Annotated[float, Between(1, 65535)] = 1.0,
    ) -> None:
        super().__init__()
        if variant not in tuple(Variant) or (variant == Variant.APBSN and scale != 1):
            raise ModelError(f"DBSN is of variant nsp, or apbsn with scale 1; got {variant} with scale {scale}.")
        self.scale, self.value_range = scale, value_range
        self.residual = self.input_skip = residual
        self.receptive_field_radius = max(1 + 2 * depth, 2 + 3 * depth)
        self.activation_floats_per_pixel = 9 * width
        activation = nn.GELU if variant == Variant.NSP else nn.ReLU
        self.head = nn.Sequential(nn.Conv2d(channels, width, 1), activation())
        self.branches = nn.ModuleList([_branch(width, depth, kernel, activation) for kernel in (3, 5)])
        if variant == Variant.NSP:
            self.tail, fine = next_scale_tail(2 * width, scale, activation)
        else:
            fine = max(width // 2, 1)
            self.tail = nn.Sequential(*mixers((2 * width, width, fine, fine), activation))
        self.last = nn.Conv2d(fine, channels, 1)
        _initialize(self)
        if residual:
            nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, scale·H, scale·W)."""
        features = self.head(x if self.value_range == 1 else self.value_range * x)
        features = self.tail(torch.cat([branch(features) for branch in self.branches], 1))
        # bf16 has eight bits of precision, a photo has eight or more: the last step is always float32.
        with torch.autocast(x.device.type, enabled=False):
            out = self.last(features.float())
            out = out if self.value_range == 1 else out / self.value_range
            return out + F.interpolate(blind_average(x.float()), scale_factor=self.scale) if self.residual else out


def _initialize(network: nn.Module) -> None:
    """Initialise all weights by He's rule, and residual modules as the identity.

    PyTorch's own start shrinks the signal by a factor in each of some twenty layers without normalisation: the
    gradient that reaches the first ones is then 1e-10, and the loss does not fall for thousands of steps.
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
    weight_inside = F.conv2d(torch.ones_like(x[:1, :1]), weight[:1], padding=1)
    return total / weight_inside.clamp(min=1)

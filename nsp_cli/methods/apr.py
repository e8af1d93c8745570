"""APR, the adjacent pixel replacer (APR-RD, AAAI 2025): two noisy photos made of one, for a wide blind spot.

Pairs
    In the 3×3 window of each pixel two different pixels are chosen at random, the same for all channels: h₁(y) is the
    photo y of the first ones, h₂(y) that of the second ones. At the photo's border the window is the nearest one that
    lies inside, so that there are always nine pixels to choose from.
Loss
    |f₅(h₁(y)) − h₂(y)| + λ·|f₅(h₁(y)) − h₂(y) − (h₁(f̂₅(y)) − h₂(f̂₅(y)))|, means; f₅ has a blind spot of 9×9, wider
    than the noise's correlation. The second term subtracts from the first one how far h₁ and h₂ differ in the photo
    itself. f̂ is f without gradient, as in the paper (the program that its authors released lets the gradient through).
    AT-BSN alone (CVPR 2024, eq. 6) has no pairs: |f₅(y) − y|, the mean, with the photo as input and as target
    (`neighbours=false`). Its blind spot alone keeps the noise of a pixel from the network.
Test time
    One pass over the whole photo with a smaller blind spot, chosen at run time: 3×3 (k = 2) by default.
    Reflection by 16 pixels extends the photo on all four sides first (`margin`), as in the released programs. So
    pixels near the border are inputs of their own outputs, as with k = 0, which is better all the same: of the
    half-planes of a pixel at the border, one would be zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.methods.base import Border, PlainPipeline, SelfSupervised, Weight, check_settings
from nsp_cli.methods.preset_settings import APR_RD, PHOTOGRAPHER, Preset
from nsp_cli.model.spec import Task
from nsp_cli.networks import WrappedNetwork, as_network
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.system.arguments import Between

WIDEST = 5
"""The largest k that photos are denoised with, as in the paper."""

MARGIN = 16
"""Pixels that reflection adds on all four sides at test time, as released; in every preset."""

_PAPER: Mapping[str, Any] = {**APR_RD, "network": "atbsn", "steps": 400_000, "patch": 256}
"""Settings that APR and AT-BSN as released have in common."""


@dataclass(frozen=True)
class APR(SelfSupervised):
    """The method `apr` trains AT-BSN on random neighbours of each pixel, or on the photo itself.

    Attributes
    ----------
    train_shift : int
        k in training.
    test_shift : int
        k at test time, 0 to `WIDEST`: the blind spot has (2k − 1)×(2k − 1) pixels; 0 is without one.
    balance : float
        λ, the weight of the loss's second term.
    neighbours : bool
        Whether input and target are made of random neighbours (APR); False takes the photo for both, as AT-BSN.
    margin : int
        Pixels by which reflection extends the photo on all four sides at test time; 16 as released and in the presets,
        0 in files without this setting.
    """

    name: ClassVar[str] = "apr"
    summary: ClassVar[str] = "learn one neighbour of each pixel from another (APR on AT-BSN, CVPR 2024 and AAAI 2025)"
    networks = ("atbsn",)
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "AT-BSN at a third of its width, with a blind residual: 30 photos, no GPU, half an hour",
            {
                "method_args": {"margin": MARGIN},
                "network": "atbsn",
                "network_args": {"width": 16, "residual": True},
                "minutes": 30.0,
                "batch": 4,
                "patch": 96,
            },
        ),
        "paper": Preset(
            "APR as published: AT-BSN of 1.27 M parameters, 400,000 steps, k = 1 at test time; for a GPU",
            {**_PAPER, "method_args": {"test_shift": 1, "margin": MARGIN}},
        ),
        "paper-atbsn": Preset(
            "AT-BSN as released, without APR's neighbours: 400,000 steps, k = 2 at test time; for a GPU",
            {**_PAPER, "method_args": {"neighbours": False, "margin": MARGIN}},
        ),
    }

    train_shift: Annotated[int, Between(1, 16)] = 5
    test_shift: Annotated[int, Between(0, WIDEST)] = 2
    balance: Weight = 4.0
    neighbours: bool = True
    margin: Border = 0

    smallest_patch = 32

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def network_args(self) -> dict[str, int]:
        """Arguments that the method prescribes to its network."""
        return {"blind_spot_size": self.train_shift, "scale": 1}

    @property
    def inference_variants(self) -> tuple[Mapping[str, Any], ...]:
        """The same weights with every k: the targets of recharged distillation."""
        return tuple({"test_shift": k} for k in range(WIDEST + 1))

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the loss of a batch of noisy crops, (B, C, P, P) in [0, 1]."""
        noisy = cut_to_multiple(batch, as_network(network).size_multiple)
        if not self.neighbours:
            return (network(noisy.contiguous(memory_format=torch.channels_last)) - noisy).abs().mean()
        first, second = choose_neighbours(noisy, generator)
        target = gather_neighbours(noisy, second)
        error = network(gather_neighbours(noisy, first).contiguous(memory_format=torch.channels_last)) - target
        with torch.no_grad():
            clean = network(noisy.contiguous(memory_format=torch.channels_last))
            moved = gather_neighbours(clean, first) - gather_neighbours(clean, second)
        return error.abs().mean() + self.balance * (error - moved).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PlainPipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        if not hasattr(network, "blind_spot_size"):
            raise ModelError("APR needs a network with a blind spot to choose, such as atbsn.")
        return PlainPipeline(_WithBlindSpot(network, self), task, channels, self.margin)


class _WithBlindSpot(WrappedNetwork):
    """The network with the k of test time in place of its own: (N, C, h, w) → (N, C, h, w)."""

    def __init__(self, network: nn.Module, settings: APR) -> None:
        super().__init__(network)
        self.test_shift = settings.test_shift
        self.receptive_field_radius += settings.test_shift - settings.train_shift

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, blind_spot_size=self.test_shift)


def choose_neighbours(photos: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Choose two different pixels of each pixel's window in (B, C, H, W): indices (B, H·W) into the flat photo.

    H and W are at least 3. The window of a pixel at the border is that of the nearest pixel which has one.
    """
    b, _, h, w = photos.shape
    device = photos.device
    first = torch.randint(9, (b, h, w), generator=generator, device=device)
    # One to eight places after the first, around the ring of nine: never the first itself.
    second = (first + 1 + torch.randint(8, (b, h, w), generator=generator, device=device)) % 9
    top = (torch.arange(h, device=device) - 1).clamp(0, h - 3).unsqueeze(1)  # (H, 1)
    left = (torch.arange(w, device=device) - 1).clamp(0, w - 3)  # (W,)

    def flat(place: Tensor) -> Tensor:
        return ((top + place // 3) * w + left + place % 3).flatten(1)

    return flat(first), flat(second)


def gather_neighbours(photos: Tensor, indices: Tensor) -> Tensor:
    """Replace every pixel of photos (B, C, H, W) by the one at its index (B, H·W), in all channels alike."""
    return photos.flatten(2).gather(2, indices.unsqueeze(1).expand(-1, photos.shape[1], -1)).view(photos.shape)

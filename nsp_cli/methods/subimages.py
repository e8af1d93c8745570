"""NSP's loss for networks without a blind spot: predict one sub-image of a photo from another.

Pairs
    d is the correlation length of the noise, in whole pixels. The input g₁ has every 2d-th row and column of the photo;
    the target g₂ has the pixels that are offset from those of g₁ by d rows, d columns or both (and by fewer in the
    other direction). So each target pixel is d pixels or more away from all pixels of the input.
Loss
    |f(g₁(y)) − g₂(y)| + λ·|f(g₁(y)) − g₂(y) − (g₁(f̂(y)) − g₂(f̂(y)))|, means; f̂ is f without gradient. The first
    term is NSP's. A network without a blind spot has the size of its input, so it cannot predict the next finer scale,
    only pixels between its own, and it learns to blur. The second term is that of Neighbor2Neighbor (CVPR 2021), which
    has d = 1: it subtracts how far the two sub-images differ in the photo itself, so it blurs less.
Noise level
    A noise-conditional network gets the level that is estimated on the crop.
Test time
    One pass over the whole photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.methods.base import Pipeline, PlainPipeline, SelfEnsemble, SelfSupervised, Weight, check_settings
from nsp_cli.methods.coarse_chroma import with_coarse_chroma
from nsp_cli.methods.preset_settings import PHOTOGRAPHER, Preset
from nsp_cli.model.spec import Task
from nsp_cli.networks import PLAIN_NETWORKS, as_network, is_noise_conditional
from nsp_cli.ops.noise_level import append_noise_level, estimate_noise_level
from nsp_cli.ops.orientations import ORIENTATIONS
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.system.arguments import Between

LONGEST = 8
"""The largest d in pixels: a crop of 256 pixels then has sub-images of 8×8."""


@dataclass(frozen=True)
class SubImages(SelfSupervised):
    """The method `subimages` trains on pairs of sub-images whose noise is uncorrelated.

    Attributes
    ----------
    distance : int
        d, the least distance in rows or in columns between a pixel of the target and those of the input.
    balance : float
        λ, the weight of the loss's second term.
    ensemble : int
        Orientations of the photo over which the result is averaged at test time, 1 to 8; each takes a forward pass.
    coarse_chroma : bool
        Whether the coarse part of the chroma is taken from the photo at half its size, see `coarse_chroma`.
    """

    name: ClassVar[str] = "subimages"
    summary: ClassVar[str] = "learn one sub-image from another (NSP's loss without a blind spot, Neighbor2Neighbor)"
    networks = PLAIN_NETWORKS
    supports_noise_level = True
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "ResUNet on noisy photos alone, no GPU, half an hour; `--adapt nsp` fine-tunes by it",
            {
                "network": "resunet",
                "network_args": {"noise_level": True},
                "minutes": 30.0,
                "batch": 16,
                "patch": 256,
                "optimizer": "muon",
                "lr": 1e-3,
                "warmup": 10,
            },
        ),
    }

    distance: Annotated[int, Between(1, LONGEST)] = 2
    balance: Weight = 0.0
    ensemble: Annotated[int, Between(1, ORIENTATIONS)] = 1
    coarse_chroma: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def smallest_patch(self) -> int:
        """Side of the smallest training patch in pixels: eight pixels of a sub-image, and room for its offsets."""
        return 9 * 2 * self.distance

    def pairs(self, photos: Tensor, generator: Generator, multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Return two sub-images (B, C, h, w) of photos (B, C, P, P), the input and the target; one draw for all.

        h and w are multiples of `multiple`.
        """

        def draw(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))

        d, stride = self.distance, 2 * self.distance
        far, near = d if draw(0, 1) else -d, draw(-d, d)
        offset = (far, near) if draw(0, 1) else (near, far)
        origin = [d + draw(0, stride - 1) for _ in range(2)]
        sides = [(length // stride - 1) // multiple * multiple for length in photos.shape[2:]]

        def grid(starts: list[int]) -> Tensor:
            rows, columns = (
                slice(start, start + (side - 1) * stride + 1, stride) for start, side in zip(starts, sides, strict=True)
            )
            return photos[..., rows, columns]

        return grid(origin), grid([start + by for start, by in zip(origin, offset, strict=True)])

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the loss of a batch of noisy crops (B, C, P, P) in [0, 1], a scalar."""
        described = as_network(network)
        noisy = cut_to_multiple(batch, described.size_multiple)
        channels = noisy.shape[1]
        level = estimate_noise_level(noisy) if is_noise_conditional(described) else None
        with torch.no_grad():
            photos = torch.cat([noisy, _run(network, noisy, level)], 1) if self.balance else noisy
        first, second = self.pairs(photos, generator, described.size_multiple)
        error = _run(network, first[:, :channels], level) - second[:, :channels]
        loss = error.abs().mean()
        if self.balance:
            moved = first[:, channels:] - second[:, channels:]
            loss = loss + self.balance * (error - moved).abs().mean()
        return loss

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        averaged = network if self.ensemble == 1 else SelfEnsemble(network, self.ensemble)
        pipeline = PlainPipeline(averaged, task, channels)
        return with_coarse_chroma(pipeline) if self.coarse_chroma else pipeline


def _run(network: nn.Module, photos: Tensor, level: Tensor | None) -> Tensor:
    """Run a network on photos (N, C, h, w), with their noise levels (N,) where it is noise-conditional."""
    planes = photos if level is None else append_noise_level(photos, level)
    return network(planes.contiguous(memory_format=torch.channels_last))

"""AMSNet, asymmetric masks (ECCV 2024): fill in masked pixels with a network that needs no blind spot.

Pairs
    PD by s = 5; in each sub-image about half of the pixels, drawn at random for each step, are set to 0 in all colours.
    With one mask and no PD it would be Noise2Void's idea.
Loss
    L1 on the masked pixels alone, plus `smoothness` times the total variation of the output (0.01 in the paper's
    fine-tune, 0 before it).
Test time
    PD by 2, two complementary masks: a pixel of the result comes from the branch in which it is masked. Then optionally
    R3 (`ops.refine`).

The masks of the test are fixed random patterns (`ops.masks`), so that tiles agree with the whole photo. They are random
and no checkerboard, since that is what the network was trained on. R3 runs the network on masks too, both of them, and
not on whole pictures, on which it was not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.methods.base import Inputs, Passes, SelfSupervised, Stride, Weight, check_settings
from nsp_cli.methods.pd_pipeline import PDPipeline, draw_subs, same_size
from nsp_cli.methods.preset_settings import PHOTOGRAPHER, PUBLISHED, Preset
from nsp_cli.model.spec import Task
from nsp_cli.networks import PLAIN_NETWORKS, WrappedNetwork
from nsp_cli.ops.masks import PERIOD, draw_patterns, repeat_pattern
from nsp_cli.ops.padding import pad_to_multiple


@dataclass(frozen=True)
class AMSNet(SelfSupervised):
    """The method `amsnet` trains on sub-images in which half of the pixels are masked.

    Attributes
    ----------
    stride, test_stride : int
        PD strides in training and at test time.
    inputs : int
        How many of a photo's s² sub-images a step uses, drawn at random; 0 for all.
    smoothness : float
        Weight of the total variation in the loss.
    refine : int
        Passes of R3 at test time, 0 for none; each takes as long as the network without it.
    """

    name: ClassVar[str] = "amsnet"
    summary: ClassVar[str] = "learn masked pixels from the others with a plain network (AMSNet, ECCV 2024)"
    networks = PLAIN_NETWORKS
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "a fast plain network, four of 25 sub-images a step: 30 photos, no GPU, half an hour",
            {"method_args": {"inputs": 4}, "network": "resunet", "minutes": 30.0, "patch": 160},
        ),
        "paper": Preset(
            "AMSNet as released, with its U-Net of 7.94 M parameters: AdamW 1e-4 without decay, cosine, flips, 100 "
            "epochs of 10,000 crops; for a GPU",
            {
                **PUBLISHED,
                "method_args": {"stride": 5, "test_stride": 2, "inputs": 0},
                "network": "n2nunet",
                "steps": 100 * 10_000 // 4,
                "batch": 4,
                "patch": 160,
                "lr": 1e-4,
                "optimizer": "adamw",
                "schedule": "cosine",
                "orientations": "flips",
            },
        ),
    }

    stride: Stride = 5
    test_stride: Stride = 2
    inputs: Inputs = 0
    smoothness: Weight = 0.0
    refine: Passes = 0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def smallest_patch(self) -> int:
        """The side of the smallest training patch in pixels: sub-images of eight pixels."""
        return 8 * self.stride

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the loss of a batch of noisy photos (B, C, P, P) in [0, 1]."""
        subs = draw_subs(batch, self.stride, self.inputs, generator)
        h, w = subs.shape[-2:]
        masked = torch.rand(len(subs), 1, h, w, generator=generator, device=subs.device) < 0.5
        # The padding is made of the masked picture, so that it has no masked pixel either.
        inputs = pad_to_multiple(subs.masked_fill(masked, 0), same_size(network).size_multiple)
        output = network(inputs)[..., :h, :w]
        errors = ((output - subs).abs() * masked).sum() / (masked.sum() * subs.shape[1]).clamp(min=1)
        return errors + self.smoothness * total_variation(output) if self.smoothness else errors

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PDPipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        return PDPipeline(MaskedInference(network), self.test_stride, task, channels, passes=self.refine, period=PERIOD)


class MaskedInference(WrappedNetwork):
    """Take each pixel from the branch whose input lacks it, (N, C, h, w) to the same; sides divide by `size_multiple`.

    Parameters
    ----------
    network : torch.nn.Module
        A plain network with t = 1, trained on masked pictures.
    """

    pattern: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.activation_floats_per_pixel *= 2
        self.register_buffer("pattern", draw_patterns(1, 0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Predict each pixel from the photo that is masked there, (N, C, H, W)."""
        mask = repeat_pattern(self.pattern, x)
        first, second = self.network(torch.cat([x.masked_fill(mask, 0), x.masked_fill(~mask, 0)])).chunk(2)
        return torch.where(mask, first, second)


def total_variation(pictures: Tensor) -> Tensor:
    """Compute the mean absolute difference between neighbours, vertical plus horizontal, of (N, C, H, W)."""
    return pictures.diff(dim=-2).abs().mean() + pictures.diff(dim=-1).abs().mean()

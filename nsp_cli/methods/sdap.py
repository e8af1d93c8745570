"""SDAP, random sub-samples that predict each other (ICCV 2023).

Pairs
    In each 5×5 cell the 25 pixels are dealt out at random to 25 sub-images. Each of them predicts the next, the last
    one the first: a pair never shares a pixel, and where in its cell each comes from differs from cell to cell.
Loss
    L1 between the network's output for a sub-image and the next one, mean over all.
Test time
    PD by 2, the sub-images one by one (stacked), merged. With `second_pass` the network runs once more on that result,
    without PD: the noise that remains is hardly correlated, and the second pass removes differences between the phases,
    which were denoised separately. Its figures are called SDAP(E) in the paper, and the released program computes it
    like this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.methods.base import Inputs, SelfSupervised, Stride, check_settings
from nsp_cli.methods.pd_pipeline import PDPipeline, same_size
from nsp_cli.methods.preset_settings import NSP_SCHEDULE, PHOTOGRAPHER, Preset
from nsp_cli.model.spec import Task
from nsp_cli.ops.cells import gather_cells, shuffle
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.system.arguments import Between

_CROPS = 25_600
"""Crops of an epoch as released: 80 of each of SIDD's 320 photos. The numbers of epochs and the second stage are those
of a user who repeated the paper's figures; the release has no schedule."""

_PAPER: Mapping[str, Any] = {
    **NSP_SCHEDULE,
    "method_args": {"stride": 5, "test_stride": 2, "inputs": 0, "second_pass": True},
    "network_args": {"width": 128, "depth": 9, "residual": False, "variant": "apbsn"},
}


@dataclass(frozen=True)
class SDAP(SelfSupervised):
    """The method `sdap` trains a network to predict one random sub-image from another.

    Attributes
    ----------
    stride, test_stride : int
        The cell's side in training, the stride of the PD at test time.
    inputs : int
        How many of the s² sub-images a step uses as inputs, 0 for all.
    second_pass : bool
        Whether the network runs once more at test time, on the result.
    """

    name: ClassVar[str] = "sdap"
    summary: ClassVar[str] = "learn each random sub-image from another (SDAP, ICCV 2023)"
    networks = ("dbsn",)
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "a small SDAP with a blind residual, two of 25 pairs a step: 30 photos, no GPU, half an hour",
            {
                "method_args": {"inputs": 2},
                "network": "dbsn",
                "network_args": {"width": 64, "depth": 5, "residual": True},
                "minutes": 30.0,
                "patch": 160,
            },
        ),
        "paper": Preset(
            "SDAP(E) as published: AP-BSN's network (3.66 M), 15 epochs of 1,600 steps; for a GPU",
            {**_PAPER, "steps": 15 * _CROPS // 16},
        ),
        "paper-finetune": Preset(
            "the second stage of SDAP(E), --from the weights of `paper`: patch 250, lr 1e-5, 10 epochs; for a GPU",
            {**_PAPER, "steps": 10 * _CROPS // 8, "batch": 8, "patch": 250, "lr": 1e-5},
            continues=True,
        ),
    }

    stride: Annotated[int, Between(2, 32)] = 5
    test_stride: Stride = 2
    inputs: Inputs = 0
    second_pass: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def network_args(self) -> dict[str, int]:
        """Arguments that the method prescribes to its network."""
        return {"scale": 1}

    @property
    def smallest_patch(self) -> int:
        """The side of the smallest training patch in pixels: sub-images of eight pixels."""
        return 8 * self.stride

    def pairs(self, photos: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Make training pairs of noisy photos.

        (B, C, P, P) in [0, 1] gives inputs and targets, (B, m, C, P/s, P/s) each: input k belongs to target k.
        """
        s = self.stride
        photos = cut_to_multiple(photos, s)
        cells = photos.shape[0], photos.shape[2] // s, photos.shape[3] // s
        order = shuffle(cells, s, generator)
        used = self.inputs or s * s
        inputs, targets = (gather_cells(photos, s, dealt[..., :used]) for dealt in (order, order.roll(-1, -1)))
        return inputs, targets

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the mean L1 loss of a batch of noisy photos (B, C, P, P) in [0, 1]."""
        same_size(network)
        inputs, targets = (subs.flatten(0, 1) for subs in self.pairs(batch, generator))
        return (network(inputs.contiguous(memory_format=torch.channels_last)) - targets).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PDPipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        return PDPipeline(network, self.test_stride, task, channels, passes=int(self.second_pass), replace_fraction=0.0)

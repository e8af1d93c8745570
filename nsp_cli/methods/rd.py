"""RD, recharged distillation (APR-RD, AAAI 2025): a fast network is trained on the outputs of slow teachers.

Training examples
    A noisy photo y and the teachers' outputs T_k for k in 1 … K: those of one teacher with several blind shifts or
    phases, of the same photo in several orientations, of several teachers. All are used alike.
Loss
    Σ_k |student(y) − T̃_k|, means. The pixels of each photo are split at random into K equal sets, the same for all
    channels; T̃_k is T_k *recharged*: its pixels in set k are those of the noisy photo. Blind-spot teachers lose detail.
    At each pixel one of the K targets is the noisy photo, with detail and noise, and K − 1 are teachers' outputs.
Test time
    One pass over the whole photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.base import Pipeline, PlainPipeline, SelfSupervised, refuse_noise_level
from nsp_cli.methods.coarse_chroma import with_coarse_chroma
from nsp_cli.methods.preset_settings import APR_RD, PHOTOGRAPHER, Preset
from nsp_cli.model.spec import Task
from nsp_cli.networks import PLAIN_NETWORKS, as_network
from nsp_cli.ops.padding import cut_to_multiple

_PAPER: Mapping[str, Any] = {**APR_RD, "network": "unet", "steps": 200_000, "patch": 128}


@dataclass(frozen=True)
class RD(SelfSupervised):
    """The method `rd` trains a network without a blind spot on the outputs of teachers, recharged or not.

    Attributes
    ----------
    recharge : bool
        Whether pixels of the targets are replaced by those of the noisy photo; False keeps the teachers' outputs.
    coarse_chroma : bool
        Whether the coarse part of the chroma is taken from the photo at half its size, see `coarse_chroma`.
    """

    name: ClassVar[str] = "rd"
    summary: ClassVar[str] = "learn from what --teacher models make of the photos (RD, AAAI 2025)"
    networks = PLAIN_NETWORKS
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "a ResUNet of 1.0 M parameters, which starts from the photo itself: 30 photos, no GPU, half an hour",
            {"network": "resunet", "minutes": 30.0, "batch": 4, "patch": 128},
        ),
        "paper": Preset(
            "RD as published: a U-Net of 1.00 M parameters, 200,000 steps; for a GPU",
            {**_PAPER, "network_args": {"output_slope": 0.1}},
        ),
        "paper-tmbsn": Preset(
            "the same with the U-Net of 1.02 M parameters that TM-BSN's student is and RD's release has too; for a GPU",
            {**_PAPER, "network_args": {"intro": False, "skips": "features"}},
        ),
    }

    recharge: bool = True
    coarse_chroma: bool = False

    smallest_patch = 32
    needs_teachers: ClassVar[bool] = True

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the recharged loss of a batch: noisy crops, then K targets, (B, 3·(1 + K), P, P) in [0, 1].

        Raises
        ------
        UsageError
            One target alone is to be recharged: nothing of it would be left; or the network enlarges, or is
            noise-conditional.
        """
        refuse_noise_level(network)
        if as_network(network).scale != 1:
            raise UsageError(
                "A student keeps the photo's size, and this network enlarges it; add `network_args.scale=1`."
            )
        batch = cut_to_multiple(batch, as_network(network).size_multiple)
        planes = batch.unflatten(1, (-1, 3))  # (B, 1 + K, 3, P, P)
        noisy, targets = planes[:, 0], planes[:, 1:]
        if self.recharge:
            targets = recharge(noisy, targets, generator)
        student = network(noisy.contiguous(memory_format=torch.channels_last))
        return (student.unsqueeze(1) - targets).abs().mean((0, 2, 3, 4)).sum()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        pipeline = PlainPipeline(network, task, channels)
        return with_coarse_chroma(pipeline) if self.coarse_chroma else pipeline


def recharge(noisy: Tensor, targets: Tensor, generator: Generator) -> Tensor:
    """Put each pixel of (B, C, H, W) into one of the (B, K, C, H, W) targets, each target getting equally many.

    Equally many up to one, where K does not divide H·W. Raises `UsageError` for K below 2.
    """
    b, count, _, h, w = targets.shape
    if count < 2:
        raise UsageError(
            "Recharging needs two targets at least; "
            "give more `teacher_views` or `teachers`, or `method_args.recharge=false`."
        )
    order = torch.rand((b, h * w), generator=generator, device=noisy.device).argsort(1)
    chosen = (order % count).view(b, 1, 1, h, w) == torch.arange(count, device=noisy.device).view(1, count, 1, 1, 1)
    return torch.where(chosen, noisy.unsqueeze(1), targets)

"""Learning from clean photos with simulated camera noise, where the answer is known.

Examples
    A crop of a clean photo, sometimes reduced first so that its own noise and blur vanish, photographed by a camera
    that is drawn at random (`simulation.random_camera`). One in twenty stays as it is: what is clean must come out as
    it came.
Loss
    L1 between output and target, each example's divided by how noisy it is (its own L1 between input and target, plus
    `_FLOOR`). PSNR is a ratio too: without it the few darkest shots would decide what the network learns of all others.
Test time
    One pass over the whole photo.

It uses nobody's noisy photos, so its weights carry the clean photos' terms alone. After CBDNet (Guo et al., CVPR 2019)
and Brooks et al. (CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Generator, Tensor, nn

from nsp_cli.methods.base import ONE_VIEW, Crop, PlainPipeline
from nsp_cli.networks import as_network
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.simulation import random_camera, simulate
from nsp_cli.spec import Task

_UNTOUCHED = 0.05
_REDUCED = 0.5
_FLOOR = 0.02


@dataclass(frozen=True)
class Simulated:
    """An example has half the side of the crop that it is made of, which leaves room to reduce the photo first."""

    smallest_patch = 64
    wants_clean = True
    wants_teachers = False
    views = ONE_VIEW

    @property
    def network_args(self) -> dict[str, object]:
        return {}

    def shoot(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """(P, P, 3) → (P/2, P/2, 6): noisy, then clean."""
        clean = _reduce(crop, rng)
        noisy, target = (clean, clean) if rng.random() < _UNTOUCHED else simulate(clean, random_camera(rng), rng)
        return np.concatenate([noisy, target], 2)

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002
        """(B, 6, p, p) in [0, 1] → scalar."""
        noisy, target = cut_to_multiple(batch, as_network(network).multiple).chunk(2, 1)
        errors = (network(noisy.contiguous(memory_format=torch.channels_last)) - target).abs().mean((1, 2, 3))
        return (errors / ((noisy - target).abs().mean((1, 2, 3)) + _FLOOR)).mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PlainPipeline:
        return PlainPipeline(network, task, channels)


def _reduce(crop: Crop, rng: np.random.Generator) -> Crop:
    side = crop.shape[0] // 2
    cut = round(side * rng.uniform(1, 2)) if rng.random() < _REDUCED else side
    y, x = rng.integers(crop.shape[0] - cut + 1, size=2)
    part = crop[y : y + cut, x : x + cut]
    return part if cut == side else cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)

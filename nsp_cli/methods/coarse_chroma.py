"""Take the coarse part of a result's chroma from the photo at half its size.

The chroma noise of a camera is correlated over more pixels than its luma noise: it has blotches, which networks that
were trained on finer noise leave (docs/experiments.md, 2026-11-29). In the photo at half its size they are half as
wide, and the means of 2×2 pixels are less noisy::

    f(y) + up(d / (1 + |d|² / τ²)),  d = chroma(f(down(y)) − down(f(y)))

for a photo y and a pipeline f; down averages 2×2 pixels, up interpolates bilinearly, and |d| is taken over R, G and B.
Luma and the fine part of the chroma are those of f(y). Where d is much larger than τ, `PipelineSpec.blotch`, it is no
blotch: thin coloured lines are lost in the photo at half its size, and stay as f(y) has them. The network computes a
quarter more pixels, and tiles have twice the halo. A network for two scales has a network for half size already, whose
result is f(down(y)) there. This module is for exported files and previews: for weights and the
graphs that ship, backends run the pipeline inside, see `engine.coarse_chroma`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from math import lcm

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.methods.base import Pipeline, PlainPipeline
from nsp_cli.methods.scales import split_scales
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec, Task
from nsp_cli.networks.layers import halve
from nsp_cli.ops.luma import chroma
from nsp_cli.ops.padding import cut_to_size, pad_to_multiple

_SMALLEST = 2 * MIN_NETWORK_SIDE  # pixels along a side, so that half of them are enough for the network


class CoarseChroma(nn.Module):
    """A pipeline that denoises (N, planes, H, W) in [0, 1] at full and at half size, to (N, 3, H, W); any H and W.

    `planes` are three colours and the noise level, where the pipeline has it as an input.

    Parameters
    ----------
    pipeline : Pipeline
        It denoises photos of any size.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.for_half = split_scales(pipeline)[1] or pipeline  # a network for two scales has one for half size itself
        self.padding = -(-_SMALLEST // (2 * pipeline.padding)) * 2 * pipeline.padding
        self.spec = self._describe(pipeline.spec)

    def _describe(self, spec: PipelineSpec) -> PipelineSpec:
        """Return the tiling requirements, in pixels of the photo, for those of the pipeline."""
        multiple = lcm(2 * spec.multiple, self.padding)  # a tile at the photo's edge is extended as the whole photo is
        halo = 2 * spec.halo if self.for_half is self.pipeline else spec.halo
        halo = max(halo + 2, _SMALLEST)  # 2: `_enlarge` uses the neighbours of a pixel of half size
        return replace(
            spec,
            multiple=multiple,
            halo=-(-halo // multiple) * multiple,
            tile=-(-spec.tile // multiple) * multiple,
            working_bytes=spec.working_bytes + 4 * 3 * spec.channels,  # the result at full size, its mean, the photo
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise photos (N, planes, H, W) in [0, 1]; a missing noise level is measured, see `PlainPipeline`."""
        h, w = photo.shape[-2:]
        if isinstance(self.pipeline, PlainPipeline):
            photo = self.pipeline.with_noise_level(photo)
        return cut_to_size(self.on_padded(pad_to_multiple(photo, self.padding, _SMALLEST)), h, w)

    def on_padded(self, photo: Tensor) -> Tensor:
        """Process all planes of a photo whose sides are multiples of `padding`."""
        denoise, denoise_half = (
            one.on_padded if isinstance(one, PlainPipeline) else one for one in (self.pipeline, self.for_half)
        )
        fine = denoise(photo)
        difference = chroma(denoise_half(halve(photo, self.spec.channels)) - F.avg_pool2d(fine, 2))
        return fine + _enlarge(difference / (1 + (difference / self.spec.blotch).square().sum(1, keepdim=True)))


def with_coarse_chroma(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that also denoises at half size; one that enlarges as it is."""
    return CoarseChroma(pipeline) if pipeline.spec.task == Task.DENOISE else pipeline


def without_coarse_chroma(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline inside, described as one that `engine.process` runs at both sizes; others as they are."""
    if not isinstance(pipeline, CoarseChroma):
        return pipeline
    inner = copy(pipeline.pipeline)
    inner.spec = inner.spec.with_coarse_chroma()
    return inner


def _enlarge(x: Tensor) -> Tensor:
    """Interpolate bilinearly, (N, C, H, W) to (N, C, 2·H, 2·W); the pixels of the result are quarters of those of `x`.

    As F.interpolate, whose node in an ONNX graph would end the part that OpenVINO computes in float32.
    """
    for dim in (3, 2):
        size = x.shape[dim]
        before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
        after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
    return x

"""Take the coarse part of a result's chroma from the photo at half its size.

Chroma noise reaches further than luma noise: in the photos of Nam et al. (CVPR 2016) and of PolyU, blotches of two to
four pixels have as much of it as single pixels. A network that was trained on finer noise takes them for colours. In
the photo at half its size they are half as wide, and the means of 2×2 pixels are less noisy::

    f(y) + up(chroma(f(down(y)) − down(f(y))))

for a photo y and a pipeline f; down averages 2×2 pixels and up interpolates bilinearly. Luma and the fine part of the
chroma are those of f(y). It takes a quarter more time.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.methods.base import Pipeline, PlainPipeline, SelfEnsemble
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec, Task
from nsp_cli.ops.luma import chroma
from nsp_cli.ops.padding import cut_to_size, pad_to_multiple

_LEVEL = 0.75
"""Noise level of the photo at half its size, as a fraction of that of the photo.

It is 0.5 for white noise and 1 for blotches; between 0.5 and 1 the results differ by 0.01 dB."""


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
        self.spec = _describe(pipeline.spec)
        self.padding = 2 * pipeline.padding

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise photos (N, planes, H, W) in [0, 1]; a missing noise level is measured, see `PlainPipeline`."""
        h, w = photo.shape[-2:]
        if isinstance(self.pipeline, PlainPipeline):
            photo = self.pipeline.with_noise_level(photo)
        return cut_to_size(self.on_padded(pad_to_multiple(photo, self.padding, 2 * MIN_NETWORK_SIDE)), h, w)

    def on_padded(self, photo: Tensor) -> Tensor:
        """Process all planes of a photo whose sides are multiples of `padding`, and at least 2·`MIN_NETWORK_SIDE`."""
        denoise = self.pipeline.on_padded if isinstance(self.pipeline, PlainPipeline) else self.pipeline
        fine, small = denoise(photo), F.avg_pool2d(photo, 2)
        if self.spec.noise_level:
            small = torch.cat([small[:, :-1], _LEVEL * small[:, -1:]], 1)
        correction = chroma(denoise(small) - F.avg_pool2d(fine, 2))
        return fine + F.interpolate(correction, scale_factor=2, mode="bilinear", align_corners=False)


def with_coarse_chroma(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline that also denoises at half size; one that enlarges, or of a grey photo, as it is."""
    is_colour = pipeline.spec.channels == 3
    return CoarseChroma(pipeline) if is_colour and pipeline.spec.task == Task.DENOISE else pipeline


def plain_pipeline(
    network: nn.Module, task: Task, channels: int, *, ensemble: int = 1, coarse_chroma: bool = False
) -> Pipeline:
    """Build the pipeline of a network that runs on the whole photo, with a self-ensemble and the coarse chroma."""
    pipeline = PlainPipeline(network if ensemble == 1 else SelfEnsemble(network, ensemble), task, channels)
    return with_coarse_chroma(pipeline) if coarse_chroma else pipeline


def _describe(spec: PipelineSpec) -> PipelineSpec:
    """Return the tiling requirements: those of the photo at half its size, in pixels of the photo."""
    multiple = 2 * spec.multiple
    reach = max(2 * (spec.halo + 1), 2 * MIN_NETWORK_SIDE)  # bilinear interpolation reads a pixel of the small one more
    return replace(
        spec,
        multiple=multiple,
        halo=-(-reach // multiple) * multiple,
        tile=-(-spec.tile // multiple) * multiple,
        working_bytes=spec.working_bytes + 4 * 3 * spec.channels,  # the result at full size, its mean, and the photo
    )

"""Split the pipeline of a network for two scales: the engine runs one part after the other on the whole photo."""

from __future__ import annotations

from dataclasses import replace

from nsp_cli.methods.base import Pipeline, PlainPipeline
from nsp_cli.model.spec import Task
from nsp_cli.networks.twoscale import TwoScale


def split_scales(pipeline: Pipeline) -> tuple[Pipeline, Pipeline | None]:
    """Return the pipelines at full and at half size of a `TwoScale`; any other pipeline, and None.

    In one module, a tile would be read with twice the halo of the network at half size. Split, the halo of a tile is
    that of the network at full size, and the photo at half its size has tiles of its own. A smaller halo that was
    measured is the fine network's and twice that at half size. With a self-ensemble the pipeline stays whole.
    """
    if not isinstance(pipeline, PlainPipeline) or not isinstance(pipeline.network, TwoScale):
        return pipeline, None
    network, task, channels = pipeline.network, Task(pipeline.spec.task), pipeline.spec.channels
    fine, half = (PlainPipeline(part, task, channels) for part in (network.fine, network.coarse))
    if pipeline.spec.halo < network.receptive_field_radius:  # measured
        multiple = half.spec.multiple
        measured = (pipeline.spec.halo - fine.spec.halo) // (2 * multiple) * multiple
        half.spec = replace(half.spec, halo=max(measured, multiple))
    if pipeline.spec.coarse_chroma:
        fine.spec = fine.spec.with_coarse_chroma()
    return fine, half

"""The whole pipeline (PD, network, reassembly) as one ONNX file that any program can run on a photo of any size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from nsp_cli.engine.backends.base import NOISE_LEVEL, PIPELINE_KEY
from nsp_cli.engine.backends.onnx_backend import OnnxBackend
from nsp_cli.engine.export.int8 import quantized_convolutions, without_rounding
from nsp_cli.engine.export.qdq import to_qdq
from nsp_cli.engine.export.tracing import trace
from nsp_cli.engine.loading import build_pipeline
from nsp_cli.errors import ModelError, OutputError, TargetExistsError
from nsp_cli.methods import Pipeline
from nsp_cli.methods.base import PlainPipeline
from nsp_cli.methods.coarse_chroma import without_coarse_chroma
from nsp_cli.methods.scales import split_scales
from nsp_cli.model.checkpoint import SPEC_KEY, load_tensors
from nsp_cli.model.registry import graph_of_half_size
from nsp_cli.model.spec import ModelSpec, PipelineSpec, Task
from nsp_cli.ops.noise_level import append_noise_level, estimate_noise_level
from nsp_cli.system.atomic import check_place, hidden_path, write_atomically
from nsp_cli.system.files import exists, is_folder

TOLERANCE = 1e-4
"""Largest absolute difference of onnxruntime from torch, white = 1: 0.03 levels of 255. Sums in another order differ by
less than that."""

INT8_TOLERANCE = 0.02
"""Largest RMS of the difference of a graph in int8 from torch, white = 1, on noise between black and white. Sums that
differ in their last bit may be rounded to different levels, and the differences grow from layer to layer."""

_NETWORK_PREFIX = "pipeline.network."  # of the names of a network's tensors in the graph of the network alone
_CHECK_SIZES = ((64, 96), (37, 53), (1, 5))  # (height, width) of the photos that the two are compared on


def export(
    pipeline: Pipeline,
    spec: ModelSpec,
    target: Path,
    *,
    weights: Path | None = None,
    noise_input: bool = False,
    overwrite: bool = False,
) -> float:
    """Write a pipeline as ONNX, if onnxruntime and torch agree on photos of several sizes.

    The file has an input "photo", (1, C, height, width) float32 in [0, 1], an output "result", (1, C, scale·height,
    scale·width), and the recipe in its metadata. The graph of a noise-conditional network measures the noise level on
    its input.

    Parameters
    ----------
    pipeline, spec
        The pipeline, and the recipe of its model.
    target : Path
        The file to write.
    weights : Path, optional
        The safetensors file of the network, in the same folder: the graph refers to the tensors in that file and holds
        none of its own, see `registry.ModelInfo.graphs`. It is then the network alone, whose input has all planes of a
        tile (`PipelineSpec.planes`), and sides that are multiples of `PipelineSpec.side_multiple`. The coarse chroma
        is not in it, see `PipelineSpec.coarse_chroma`. A network for two scales has a second file,
        `registry.graph_of_half_size`.
    noise_input : bool
        Whether there is a second, optional input "noise_level", (1,) float32, see `PipelineSpec.noise_level`. Where it
        is left out or below 0, the graph measures it.
    overwrite : bool
        Whether to replace a file that exists.

    Returns
    -------
        The largest difference from torch, white = 1.

    Raises
    ------
    ModelError
        The two differ by more than `TOLERANCE`.
    OutputError
        The file cannot be written.
    UnavailableError
        onnx is not installed.
    """
    target = Path(target)
    check_target(target, overwrite)
    if weights is None:
        models = {target: (_pipeline_graph(pipeline, spec, noise_input), pipeline)}
    else:
        parts = _networks_alone(pipeline, target)
        for file in parts:
            check_target(file, overwrite)
        models = {file: (_with_weights_of(weights, _network_graph(part, spec)), part) for file, part in parts.items()}
    worst = max(_difference_from_torch(model, part, target) for model, part in models.values())
    if not worst <= TOLERANCE:
        raise ModelError(
            f"onnxruntime and torch differ by {worst:.1e}, more than {TOLERANCE:.0e}; nothing was written."
        )
    for file, (model, _) in models.items():
        write_atomically(model, file, overwrite=overwrite)
    return worst


def export_int8(
    network: nn.Module,
    spec: ModelSpec,
    task: Task,
    target: Path,
    *,
    whole: bool = True,
    noise_input: bool = False,
    overwrite: bool = False,
) -> float:
    """Write a network that `int8.quantize` changed as an ONNX file in QDQ form, as `export` does.

    Parameters
    ----------
    network : torch.nn.Module
        The network with the weights and the ranges of activations that it is to have.
    spec : ModelSpec
        Its recipe.
    task : Task
        Task of the file.
    target : Path
        The file to write.
    whole : bool
        Whether the file is the whole pipeline for photos of any size, or the network alone, see `export`. It holds its
        weights in either case.
    noise_input : bool
        Whether a whole pipeline has the noise level as a second input, see `export`.
    overwrite : bool
        Whether to replace a file that exists.

    Returns
    -------
        The root mean square of the difference from torch on noise.

    Raises
    ------
    ModelError
        The two differ by more than `INT8_TOLERANCE`.
    OutputError
        The file cannot be written.
    UnavailableError
        onnx is not installed.
    """
    check_target(target, overwrite)
    plain = without_rounding(network, spec)
    both = (build_pipeline(one.eval(), spec, task, {}, target.name) for one in (network, plain))
    rounded, exact = ({target: one} if whole else _networks_alone(one, target) for one in both)
    models: dict[Path, bytes] = {}
    worst = 0.0
    for file, part in exact.items():
        check_target(file, overwrite)
        part.spec = replace(part.spec, int8=True)
        graph = _pipeline_graph(part, spec, noise_input) if whole else _network_graph(part, spec)
        levels = {
            name: (conv.source.grid, conv.target and conv.target.grid)
            for name, conv in quantized_convolutions(cast(nn.Module, rounded[file])).items()
        }
        models[file] = to_qdq(graph, levels)
        worst = max(worst, _difference_from_torch(models[file], rounded[file], target, largest=False))
    if not worst <= INT8_TOLERANCE:
        raise ModelError(f"onnxruntime and torch differ by {worst:.1e} (RMS) in int8; nothing was written.")
    for file, model in models.items():
        write_atomically(model, file, overwrite=overwrite)
    return worst


def check_target(target: Path, overwrite: bool) -> None:
    """Raise `OutputError` before the seconds that a graph takes; `write_atomically` checks again."""
    if not is_folder(target.parent):
        raise OutputError(f"{target} cannot be written: there is no folder {target.parent}.")
    if exists(target) and not overwrite:
        raise TargetExistsError(f"{target} exists already; choose another name, or allow replacing it")
    check_place(target)


def _networks_alone(pipeline: Pipeline, target: Path) -> dict[Path, Pipeline]:
    """Return the pipelines of the graphs that are networks alone: `target`, and the one at half size where there is."""
    whole, half = split_scales(without_coarse_chroma(pipeline))
    return {target: whole} | ({} if half is None else {graph_of_half_size(target): half})


def _difference_from_torch(model: bytes, pipeline: Pipeline, target: Path, *, largest: bool = True) -> float:
    """Return the difference of a graph in onnxruntime from a pipeline in torch: the largest one, or its RMS."""
    temporary = hidden_path(target.parent)
    try:
        write_atomically(model, temporary, overwrite=True)
        return _difference(pipeline, OnnxBackend(temporary, "cpu"), largest)
    finally:
        temporary.unlink(missing_ok=True)


def _pipeline_graph(pipeline: Pipeline, spec: ModelSpec, noise_input: bool) -> bytes:
    """Export the whole pipeline: photos of any size, and with `noise_input` the noise level as an optional input."""
    assert isinstance(pipeline, nn.Module)
    has_input = pipeline.spec.noise_level and noise_input
    inputs = {"photo": torch.rand(1, spec.channels, 64, 96)} | (
        {NOISE_LEVEL: torch.full((1,), 0.1)} if has_input else {}
    )
    described = replace(pipeline.spec, noise_level=has_input)
    proto = _trace_with_specs(_WithNoiseLevel(pipeline) if has_input else pipeline, inputs, described, spec)
    if has_input:  # a default value makes an input optional
        import onnx

        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.full(1, -1, np.float32), NOISE_LEVEL))
    return proto.SerializeToString()


def _network_graph(pipeline: Pipeline, spec: ModelSpec) -> bytes:
    """Export the pipeline without padding and without noise estimation, for this package's own backends."""
    if not isinstance(pipeline, PlainPipeline):
        raise ModelError(f"The method '{spec.method}' has no graph of its network alone.")
    described = replace(pipeline.spec, side_multiple=pipeline.padding)
    tile = torch.rand(1, described.planes, 8 * pipeline.padding, 12 * pipeline.padding)
    return _trace_with_specs(
        _OnPadded(pipeline), {"photo": tile}, described, spec, pipeline.padding
    ).SerializeToString()


def _trace_with_specs(
    module: nn.Module, inputs: dict[str, Tensor], pipeline: PipelineSpec, spec: ModelSpec, multiple: int = 1
) -> Any:
    """Export a module to ONNX with both specs in its metadata.

    The sides of the first input are any multiples of `multiple` pixels.
    """
    height, width = (torch.export.Dim(name) for name in ("height", "width"))
    sizes = {2: multiple * height, 3: multiple * width} if multiple > 1 else {2: height, 3: width}
    proto = trace(module, inputs, (sizes, None)[: len(inputs)])
    import onnx

    onnx.helper.set_model_props(proto, {PIPELINE_KEY: pipeline.to_json(), SPEC_KEY: spec.to_json()})
    return proto


def _with_weights_of(weights: Path, model: bytes) -> bytes:
    """Replace a graph's tensors by references to the equal ones of a safetensors file, converted to float32.

    The format: 8 bytes with the header's length, the header as JSON, then the tensors, little-endian.
    """
    import onnx

    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    tensors, _ = load_tensors(weights)
    proto = onnx.load_from_string(model)
    for stored in proto.graph.initializer:
        own, values = stored.name.removeprefix(_NETWORK_PREFIX), onnx.numpy_helper.to_array(stored)
        alike = (n for n in tensors if f".{n}".endswith(f".{own}") or f".{own}".endswith(f".{n}"))
        name = next((n for n in alike if np.array_equal(tensors[n].float().numpy(), values)), None)
        if name is None:
            continue
        start, stop = header[name]["data_offsets"]
        found = onnx.TensorProto(name=f"{stored.name} (stored)", dims=stored.dims)
        found.data_type = onnx.helper.np_dtype_to_tensor_dtype(tensors[name].numpy().dtype)
        found.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", 8 + length + start), ("length", stop - start)):
            found.external_data.add(key=key, value=str(value))
        cast = onnx.helper.make_node("Cast", [found.name], [stored.name], to=onnx.TensorProto.FLOAT)
        proto.graph.node.insert(0, cast)
        stored.CopyFrom(found)
    return proto.SerializeToString()


class _WithNoiseLevel(nn.Module):
    """A pipeline as a graph with two inputs, see `export`."""

    def __init__(self, pipeline: nn.Module) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, photo: Tensor, noise_level: Tensor) -> Tensor:
        return self.pipeline(
            append_noise_level(photo, torch.where(noise_level >= 0, noise_level, estimate_noise_level(photo)))
        )


class _OnPadded(nn.Module):
    """A pipeline's `on_padded`, as the module that an export needs."""

    def __init__(self, pipeline: PlainPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, photo: Tensor) -> Tensor:
        return self.pipeline.on_padded(photo)


def _difference(pipeline: Pipeline, backend: OnnxBackend, largest: bool) -> float:
    """Return the difference of a backend from a pipeline in torch, on noise: the largest one, or the largest RMS."""
    rng = np.random.default_rng(0)
    differences, channels = [0.0], pipeline.spec.channels
    photos = [rng.random((1, pipeline.spec.planes, *size), np.float32) for size in _CHECK_SIZES]
    for photo in (*photos, np.full_like(photos[0], 0.5)):  # the last one has no noise
        if pipeline.spec.noise_level:
            photo[:, channels] = 0.05  # the same everywhere
        given = [photo] if backend.spec.noise_level or backend.spec.coarse_input else []
        given += [photo[:, :channels]] if backend.spec.side_multiple == 1 or not given else []
        for planes in given:
            with torch.no_grad():
                expected = pipeline(torch.from_numpy(planes)).numpy()
            difference = np.abs(backend.run(planes) - expected)
            differences.append(float(difference.max() if largest else np.sqrt(np.square(difference).mean())))
    return float(np.max(differences))  # NaN if one is

"""From a model's name or file to a backend that is ready for a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.backends.machine import cpu_has, has_gpu
from nsp_cli.errors import BackendError, ModelError, UsageError
from nsp_cli.model import registry
from nsp_cli.model.spec import Task

if TYPE_CHECKING:
    from torch import nn

    from nsp_cli.methods import Method, Pipeline
    from nsp_cli.model.spec import ModelSpec

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})

_SOON = 2.0
"""Megapixels for which torch in bfloat16 takes as long as onnxruntime in float32, its start included."""

_BF16 = ("AVX512BF16", "AMX_BF16", "AVX512_SPR")
"""NumPy's names of instruction sets that multiply bfloat16."""

_MEANINGS = {"blind": "blind spot to choose"}
"""What a model lacks, in the user's words, where its method lacks a setting."""


def load_backend(
    model: str | Path | None = None,
    task: Task = Task.DENOISE,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    settings: Mapping[str, Any] = NO_SETTINGS,
    exact_halo: bool = False,
    megapixels: float = inf,
) -> Backend:
    """Open a model for a task, once for many photos.

    Parameters
    ----------
    model : a name of `nsp models`, a .safetensors or .onnx file, or None for the task's default that ships
    device : "auto", "cuda", "cuda:1", "mps" or "cpu"
    precision : "auto", "fp32", "bf16" or "fp16"; ONNX files run in float32, and so does "auto" for a network without a
        skip from its input
    backend : "auto", "torch" or "onnx"; a file has one runtime, models that ship may have both, see `_prefers_graph`
    settings : of the model's method, in place of those it was trained with, as in {"blind": 1}
    exact_halo : read tiles with the whole receptive field even if a smaller halo was measured for the model, see
        `ModelSpec.halo`; an ONNX file keeps the halo that it was exported with
    megapixels : how much there is to process, for the choice between a runtime that starts at once and one that is
        faster afterwards; infinite if that is not known

    Raises
    ------
    ModelError, BackendError, UsageError
    """
    path = registry.resolve(model, task)
    if not settings and not exact_halo and _prefers_graph(device, precision, backend, megapixels):
        path = registry.shipped_graph(path, task) or path
    kind = "onnx" if path.suffix == ".onnx" else "torch"
    if backend not in ("auto", kind):
        wanted = "an .onnx file that `nsp export` writes" if backend == "onnx" else "a .safetensors file"
        raise UsageError(f"--backend {backend} runs {wanted}, got {path.name}.")
    if kind == "onnx" and settings:
        raise UsageError(f"The settings of {path.name} were fixed when it was exported; give them to `nsp export`.")
    if kind == "onnx":
        opened = _open_onnx(path, device, precision)
    else:
        opened = _open_torch(path, task, device, precision, settings, exact_halo)
    if opened.spec.task != task:
        raise ModelError(
            f"{path.name} was exported for '{opened.spec.task}', not for '{task}'; export it with --task {task}."
        )
    return opened


def _prefers_graph(device: str, precision: str, backend: str, megapixels: float) -> bool:
    """Whether onnxruntime is to run a model that ships for both runtimes.

    On a CPU it starts a second sooner, since it does without torch, and it is faster in float32. torch is faster where
    the processor multiplies bfloat16, and makes up for its start from `_SOON` megapixels on (`benchmarks/README.md`).
    """
    if precision not in ("auto", "fp32") or backend == "torch":
        return False
    if backend == "onnx":
        return True
    if device != "cpu" and (device != "auto" or has_gpu()):
        return False
    has_bf16 = any(map(cpu_has, _BF16))
    return precision == "fp32" or not has_bf16 or megapixels < _SOON


def _open_onnx(path: Path, device: str, precision: str) -> Backend:
    from nsp_cli.engine.backends.onnx_backend import OnnxBackend

    if precision not in ("auto", "fp32"):
        raise BackendError(f"An ONNX model runs in fp32, got --precision {precision}.")
    return OnnxBackend(path, device)


def _open_torch(
    path: Path, task: Task, device: str, precision: str, settings: Mapping[str, Any], exact_halo: bool
) -> Backend:
    from nsp_cli.engine.backends.device import Precision, choose_device
    from nsp_cli.engine.backends.torch_backend import TorchBackend
    from nsp_cli.model.checkpoint import load_model
    from nsp_cli.networks import as_network, has_input_skip

    network, spec = load_model(path)
    spec = replace(spec, halo=0) if exact_halo else spec
    pipeline = build_pipeline(network, spec, task, settings, path.name)
    if precision == "auto" and not has_input_skip(as_network(network)):
        precision = "fp32"  # bfloat16 would round the photo itself: 0.07 dB
    return TorchBackend(pipeline, choose_device(device), Precision(precision))  # pyright: ignore[reportArgumentType]


def build_pipeline(network: nn.Module, spec: ModelSpec, task: Task, settings: Mapping[str, Any], name: str) -> Pipeline:
    """Build the pipeline of a model called `name`, with the halo that was measured for it, if one was.

    Raises
    ------
    UsageError : the method lacks one of the settings; ModelError : the model cannot do the task
    """
    pipeline = method_of(spec, settings, name).pipeline(network, task, spec.channels)
    if spec.halo:
        whole, multiple = pipeline.spec.halo, pipeline.spec.multiple
        pipeline.spec = replace(pipeline.spec, halo=min(-(-spec.halo // multiple) * multiple, whole))
    return pipeline


def method_of(spec: ModelSpec, settings: Mapping[str, Any], name: str) -> Method:
    """The method of a model called `name`, some of its settings replaced. Raises `UsageError` for one it lacks."""
    from nsp_cli.methods import build_method, settings_of

    for setting in settings:
        if setting not in settings_of(spec.method):
            raise UsageError(f"The model {name} has no {_MEANINGS.get(setting, f'setting {setting!r}')}.")
    return build_method(spec.method, {**spec.method_args, **settings})

"""Open a model, by its name or file, as a backend for a task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from nsp_cli.engine.backends.base import Backend, half_size_backend
from nsp_cli.engine.backends.machine import Machine, has_bf16
from nsp_cli.engine.coarse_chroma import take_setting
from nsp_cli.engine.options import DenoiseOptions
from nsp_cli.engine.runtimes import Request, Runtime, choose_runtime
from nsp_cli.errors import BackendError, ModelError, UsageError
from nsp_cli.model import registry
from nsp_cli.model.renamed import METHOD_SETTINGS, update_method_settings, with_new_names
from nsp_cli.model.spec import BackendName, Device, Precision, Task, TaskName
from nsp_cli.system.arguments import ArgumentError, OneOf, check_value, checked, hint_of
from nsp_cli.system.processes import process_info

if TYPE_CHECKING:
    from torch import nn

    from nsp_cli.engine.backends.onnx_backend import OnnxBackend
    from nsp_cli.engine.backends.openvino_backend import OpenVinoBackend
    from nsp_cli.engine.backends.torch_backend import TorchBackend
    from nsp_cli.methods import Method, Pipeline
    from nsp_cli.model.spec import ModelSpec

    Opened = OnnxBackend | OpenVinoBackend | TorchBackend

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})

_FILES_OF_RUNTIMES = {  # models that each runtime opens, for messages
    "torch": "a .safetensors file",
    "onnx": "an .onnx file that nsp exported",
    "openvino": "models that ship with a graph for it, such as fast, and .onnx files in int8",
}

_SETTING_NAMES = {"test_shift": "blind spot to choose"}
"""Names of settings for messages."""


@checked
def load_backend(
    model: str | Path | None = None,
    task: TaskName = Task.DENOISE,
    *,
    device: str = "auto",
    precision: Annotated[str, OneOf(tuple(Precision))] = "auto",
    backend: Annotated[str, OneOf(tuple(BackendName))] = "auto",
    settings: Mapping[str, Any] = NO_SETTINGS,
    exact_halo: bool = False,
    megapixels: float = inf,
) -> Backend:
    """Open a model for a task, to process many photos with it.

    Parameters
    ----------
    model : str or Path, optional
        A name of `nsp models`, or a .safetensors or .onnx file. None is the default model for `task`.
    task : Task or str
        Denoising, or one of the modes that enlarge.
    device : str
        "auto" (a GPU if there is one), "cuda", "cuda:1", "mps" or "cpu".
    precision : str
        "fp32", "bf16", "fp16" (on a GPU), "int8" (on a CPU, for models that ship with an int8 graph and .onnx files in
        int8) or "auto": the fastest, but fp32 for a network without a skip connection from its input. An ONNX file has
        its own.
    backend : str
        "torch" (.safetensors files), "onnx" (.onnx files), "openvino" (.onnx files in int8) or "auto"; models that
        ship run in all three.
    settings : mapping
        Settings of the model's method in place of those that are stored with it, as in {"test_shift": 1}. Whatever
        its method, a model that denoises has "coarse_chroma", see `engine.coarse_chroma`; .onnx files keep their own.
    exact_halo : bool
        Whether tiles are read with the whole receptive field even if a smaller halo was measured; an ONNX file keeps
        its own halo.
    megapixels : float
        Size of all photos together, infinite if unknown. "auto" chooses a runtime that starts fast for small ones.

    Returns
    -------
    Backend
        `run` maps a tile (1, planes, h, w) of float32 to its result, `spec` describes the pipeline.

    Raises
    ------
    ModelError
        There is no such model, it cannot be read, or it was made for another task.
    BackendError
        The device, the precision or the runtime is not available.
    UsageError
        `backend` or `settings` do not fit the file.
    """
    task = Task(task)
    device = re.sub(f"^{Device.CPU}:[0-9]+$", Device.CPU, device)  # PyTorch's name for it
    path = registry.resolve(model, task)
    request = Request(device, precision, backend, megapixels)
    own, coarse_chroma = take_setting(settings, task)
    if coarse_chroma is not None and path.suffix == ".onnx":
        raise UsageError(
            f"The coarse chroma of {path.name} was fixed when it was exported; leave out `coarse_chroma`, in "
            "config.toml too."
        )
    opened = _open(path, task, request, own, exact_halo)
    half_size_backend(opened)  # raises where it is missing
    if coarse_chroma is not None:
        opened.spec = opened.spec.with_coarse_chroma(coarse_chroma)
    return opened


def _open(path: Path, task: Task, request: Request, settings: Mapping[str, Any], exact_halo: bool) -> Opened:
    """Open a file, or a graph that ships with it; see `load_backend`."""
    device, precision, backend = request.device, request.precision, request.backend
    if path.suffix == ".onnx":
        return _open_file(path, task, request, settings)
    chosen = Runtime("torch", precision)
    if not settings and not exact_halo:
        path, chosen = _shipped_graph(path, task, request) or (path, chosen)
    if backend not in ("auto", chosen.runtime):
        fixed = [*settings, *(["exact_halo"] if exact_halo else [])]
        raise UsageError(_why_not(backend, path, task, precision, fixed))
    if chosen.runtime == "torch":
        return _open_torch(path, task, device, precision, settings, exact_halo)
    return _open_graph(path, device, chosen)


def _why_not(backend: str, path: Path, task: Task, precision: str, fixed: Sequence[str]) -> str:
    """Return why a model does not run in a backend, and what to do.

    `fixed` are the names of arguments that were given and that graphs take no value for.
    """
    graph, int8 = registry.shipped_graphs(path, task)
    if graph is None and int8 is None:
        return f"`backend={backend}` runs {_FILES_OF_RUNTIMES[backend]}, got {path.name}."
    if fixed:
        return (
            f"`backend={backend}` runs the graph that ships with {path.name}, in which {' and '.join(fixed)} cannot be "
            "set; use `backend=torch`."
        )
    if precision == Precision.INT8 and int8 is not None:
        return f"`backend={backend}` runs int8 on the CPU alone; add `device=cpu`."
    return f"{path.name} ships with no graph in {precision} for `backend={backend}`; use another `precision`."


def open_backend(options: DenoiseOptions, megapixels: float = inf) -> Backend:
    """Open the model of `options`; see `load_backend`, which also names what is raised.

    Raises
    ------
    UsageError
        The model does not enlarge by `options.scale`.
    """
    model = options.model
    backend = load_backend(
        model.name,
        options.task,
        device=_device_of_process(model.device, model.name),
        precision=model.precision,
        backend=model.backend,
        settings=model.settings,
        megapixels=megapixels,
    )
    if options.scale not in (None, backend.spec.scale):
        raise UsageError(f"This model enlarges {backend.spec.scale} times, got `scale={options.scale}`.")
    return backend


def _device_of_process(device: str, model: str | None) -> str:
    """Return this process's GPU where torchrun started several processes and the user named none."""
    process = process_info()
    if process.is_alone or device not in (Device.AUTO, Device.CUDA):
        return device
    if device == Device.AUTO and model is not None and model.endswith(".onnx"):
        import onnxruntime as ort

        if "CUDAExecutionProvider" not in ort.get_available_providers():
            return device
    import torch

    devices = torch.cuda.device_count()
    return f"{Device.CUDA}:{process.local_rank % devices}" if devices else device


def _shipped_graph(weights: Path, task: Task, request: Request) -> tuple[Path, Runtime] | None:
    """Choose a graph that ships with a file of weights, and its runtime; None to run the file itself."""
    graph, int8 = registry.shipped_graphs(weights, task)
    if graph is None and int8 is None:
        return None
    chosen = choose_runtime(request, Machine.here(), graph=graph is not None, int8=int8 is not None)
    if chosen is None:
        return None
    return (int8 if chosen.precision == Precision.INT8 else graph) or weights, chosen


def _open_file(path: Path, task: Task, request: Request, settings: Mapping[str, Any]) -> Opened:
    """Open an exported file: in OpenVINO if it is in int8 and that is faster or was chosen, else in onnxruntime.

    Raises
    ------
    UsageError
        There are `settings`, which a graph takes no value for, or the runtime does not open such files.
    ModelError
        It was exported for another task.
    """
    if settings:
        raise UsageError(f"The settings of {path.name} were fixed when it was exported; export it again with others.")
    if request.backend == "torch":
        raise UsageError(_why_not(request.backend, path, task, request.precision, ()))
    opened = _open_onnx(path, request.device, request.precision)  # OpenVINO prints messages about damaged files
    if opened.spec.task != task:
        raise ModelError(
            f"{path.name} was exported for '{opened.spec.task}', not for '{task}'; export it with `task={task}`."
        )
    if opened.spec.int8:
        machine = replace(Machine.here(), gpu=opened.device != Device.CPU)
        chosen = choose_runtime(request, machine, graph=False, int8=True)
        if request.backend == "openvino" or (chosen is not None and chosen.runtime == "openvino"):
            return _open_openvino(path, request.device, Precision.INT8)
    elif request.backend == "openvino":
        raise UsageError(_why_not(request.backend, path, task, request.precision, ()))
    return opened


def _open_graph(path: Path, device: str, chosen: Runtime) -> Opened:
    """Open a graph that ships, and that for half the photo's size beside it, in onnxruntime or OpenVINO."""
    opener = _open_openvino if chosen.runtime == "openvino" else _open_onnx
    files = [path, *(file for file in [registry.graph_of_half_size(path)] if file.is_file())]
    with ThreadPoolExecutor(2, "nsp-open") as threads:
        opened, *halves = threads.map(lambda file: opener(file, device, chosen.precision), files)
    opened.half = halves[0] if halves and opened.spec.coarse_input else None
    return opened


def _open_onnx(path: Path, device: str, precision: str) -> OnnxBackend:
    """Open a graph in onnxruntime. Raises `BackendError` for a precision that is not its own."""
    from nsp_cli.engine.backends.onnx_backend import OnnxBackend

    opened = OnnxBackend(path, device)
    own = Precision.INT8 if opened.spec.int8 else Precision.FP32
    if precision not in ("auto", own):
        raise BackendError(f"The ONNX model {path.name} runs in {own}, got `precision={precision}`.")
    return opened


def _open_openvino(path: Path, device: str, precision: str) -> OpenVinoBackend:
    """Open a graph in OpenVINO. Raises `BackendError` for a device or a precision that it does not have here."""
    from nsp_cli.engine.backends.openvino_backend import OpenVinoBackend

    if device not in (Device.AUTO, Device.CPU):
        raise BackendError(f"OpenVINO runs on the CPU here, got `device={device}`.")
    if precision == "fp16" or (precision == "bf16" and not has_bf16()):
        raise BackendError(f"OpenVINO has no {precision} on this processor; use `precision=fp32`.")
    if precision == "auto":
        precision = Precision.BF16 if has_bf16() else Precision.FP32
    return OpenVinoBackend(path, Precision(precision))


def _open_torch(
    path: Path, task: Task, device: str, precision: str, settings: Mapping[str, Any], exact_halo: bool
) -> TorchBackend:
    """Open a safetensors file in torch."""
    from nsp_cli.engine.backends.device import choose_device
    from nsp_cli.engine.backends.torch_backend import TorchBackend
    from nsp_cli.methods.coarse_chroma import without_coarse_chroma
    from nsp_cli.methods.scales import split_scales
    from nsp_cli.model.checkpoint import load_model
    from nsp_cli.networks import as_network, has_input_skip

    network, spec = load_model(path)
    spec = replace(spec, halo=0) if exact_halo else spec
    pipeline, half = split_scales(without_coarse_chroma(build_pipeline(network, spec, task, settings, path.name)))
    if precision == "auto" and not has_input_skip(as_network(network)):
        precision = "fp32"  # bfloat16 would round the photo itself: 0.07 dB
    where = choose_device(device), Precision(precision)
    backend = None if half is None else TorchBackend(half, *where)  # pyright: ignore[reportArgumentType]
    return TorchBackend(pipeline, *where, half=backend)  # pyright: ignore[reportArgumentType]


def build_pipeline(network: nn.Module, spec: ModelSpec, task: Task, settings: Mapping[str, Any], name: str) -> Pipeline:
    """Build the pipeline of a model called `name`, with the halo that was measured for it, if one was.

    Raises
    ------
    UsageError
        The method lacks one of the settings, or the task has no coarse chroma.
    ModelError
        The model cannot do the task.
    """
    from nsp_cli.methods.coarse_chroma import CoarseChroma

    others, wanted = take_setting(settings, task)
    pipeline = method_of(spec, others, name).pipeline(network, task, spec.channels)
    wanted = isinstance(pipeline, CoarseChroma) if wanted is None else wanted
    inner = pipeline.pipeline if isinstance(pipeline, CoarseChroma) else pipeline
    if spec.halo:
        whole, multiple = inner.spec.halo, inner.spec.multiple
        inner.spec = replace(inner.spec, halo=min(-(-spec.halo // multiple) * multiple, whole))
    return CoarseChroma(inner) if wanted else inner


def method_of(spec: ModelSpec, settings: Mapping[str, Any], name: str) -> Method:
    """Build the method of the model `name` with some settings replaced. Raises `UsageError` where one does not fit."""
    from nsp_cli.methods import METHODS, build_method, settings_of

    settings = with_new_names(settings, METHOD_SETTINGS.get(spec.method, {}))
    for setting, value in settings.items():
        if setting not in settings_of(spec.method):
            raise UsageError(f"The model {name} has no {_SETTING_NAMES.get(setting, f'setting {setting!r}')}.")
        try:
            check_value(setting, value, hint_of(METHODS[spec.method], setting))
        except ArgumentError as error:
            raise UsageError(f"The setting {error}.") from error
    return build_method(spec.method, update_method_settings(spec.method, {**spec.method_args, **settings}))

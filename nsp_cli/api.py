"""The public Python API, the same that the command line calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nsp_cli import engine, models
from nsp_cli.backends.base import Backend
from nsp_cli.errors import BackendError, ModelError, UsageError
from nsp_cli.image.frame import Frame
from nsp_cli.spec import Task
from nsp_cli.strength import Strength, Wanted

if TYPE_CHECKING:
    from torch import nn

    from nsp_cli.spec import ModelSpec

Photo = TypeVar("Photo", Frame, NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32])

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})

DEFAULT_SR_MODE = Task.DIRECT
"""The mode that measures best on noise that is correlated like a camera's: `benchmarks/super_resolution.py`."""


def load_backend(
    model: str | Path | None = None,
    task: Task = Task.DENOISE,
    *,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "auto",
    settings: Mapping[str, Any] = NO_SETTINGS,
) -> Backend:
    """Open a model for a task, once for many photos.

    Parameters
    ----------
    model : a name of `nsp models`, a .safetensors or .onnx file, or None for the task's default that ships
    device : "auto", "cuda", "cuda:1", "mps" or "cpu"
    precision : "auto", "fp32", "bf16" or "fp16"; ONNX files run in float32
    backend : "auto", "torch" or "onnx"; the file decides, so this only says what is expected
    settings : of the model's method, in place of those it was trained with, as in {"blind": 1}

    Raises
    ------
    ModelError, BackendError, UsageError
    """
    path = models.resolve(model, task)
    kind = "onnx" if path.suffix == ".onnx" else "torch"
    if backend not in ("auto", kind):
        wanted = "an .onnx file that `nsp export` writes" if backend == "onnx" else "a .safetensors file"
        raise UsageError(f"--backend {backend} runs {wanted}, got {path.name}.")
    if kind == "onnx" and settings:
        raise UsageError(f"The settings of {path.name} were fixed when it was exported; give them to `nsp export`.")
    opened = (
        _open_onnx(path, device, precision) if kind == "onnx" else _open_torch(path, task, device, precision, settings)
    )
    if opened.spec.task != task:
        raise ModelError(
            f"{path.name} was exported for '{opened.spec.task}', not for '{task}'; export it with --task {task}."
        )
    return opened


def _open_onnx(path: Path, device: str, precision: str) -> Backend:
    from nsp_cli.backends.onnx_backend import OnnxBackend

    if precision not in ("auto", "fp32"):
        raise BackendError(f"An ONNX model runs in fp32, got --precision {precision}.")
    return OnnxBackend(path, device)


def _open_torch(path: Path, task: Task, device: str, precision: str, settings: Mapping[str, Any]) -> Backend:
    from nsp_cli.backends.device import Precision, choose_device
    from nsp_cli.backends.torch_backend import TorchBackend
    from nsp_cli.checkpoint import load_model
    from nsp_cli.methods import build_method

    network, spec = load_model(path)
    pipeline = build_method(spec.method, {**spec.method_args, **settings}).pipeline(network, task, spec.channels)
    return TorchBackend(pipeline, choose_device(device), Precision(precision))  # pyright: ignore[reportArgumentType]


def denoise(
    photo: Photo,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Photo:
    """Remove the noise of a photo.

    Parameters
    ----------
    photo : a `Frame`, or an (H, W, 3) or (H, W, 1) array of uint8, uint16 or float32 in [0, 1]
    model : see `load_backend`; backend : an opened one, which many photos can share
    strength, luma, chroma : see `ops.blend.Looks`; strength "auto" measures the photo's noise, see `nsp_cli.strength`
    tile, report : see `engine.process`

    Returns
    -------
    the same kind, size and depth; with `strength` 0 the very same pixels

    Raises
    ------
    NspError : see `nsp_cli.errors`
    """
    return _run(photo, backend or load_backend(model), Wanted(strength, luma, chroma), tile, report)


def super_resolve(
    photo: Photo,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    mode: Task = DEFAULT_SR_MODE,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Photo:
    """Denoise and enlarge a photo by the model's scale. See `denoise`; `mode` is one of the sr modes of `Task`."""
    return _run(photo, backend or load_backend(model, mode), Wanted(strength, luma, chroma), tile, report)


def load_model(model: str | Path | None = None, task: Task = Task.DENOISE) -> tuple[nn.Module, ModelSpec]:
    """A torch network and its recipe; `model` and `task` as for `load_backend`. Raises `ModelError`."""
    from nsp_cli import checkpoint

    return checkpoint.load_model(models.resolve(model, task))


def export(
    model: str | Path | None,
    target: Path,
    task: Task = Task.DENOISE,
    *,
    settings: Mapping[str, Any] = NO_SETTINGS,
    overwrite: bool = False,
) -> float:
    """Write the whole pipeline as ONNX, checked against torch; see `exporting.export`, and `load_backend`."""
    from nsp_cli.exporting import export as write_onnx
    from nsp_cli.methods import build_method

    network, spec = load_model(model, task)
    spec = replace(spec, method_args={**spec.method_args, **settings})
    pipeline = build_method(spec.method, spec.method_args).pipeline(network, task, spec.channels)
    return write_onnx(pipeline, spec, target, overwrite=overwrite)


def _run(
    photo: Photo,
    backend: Backend,
    looks: Wanted,
    tile: int,
    report: Callable[[float], None],
) -> Photo:
    frame = photo if isinstance(photo, Frame) else Frame(photo)
    result = engine.process(frame, backend, looks=looks.choose(frame, backend).looks, tile=tile, report=report)
    return result if isinstance(photo, Frame) else result.pixels  # pyright: ignore[reportReturnType]

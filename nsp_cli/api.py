"""The public Python API, the same that the command line calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.auto_strength import Strength, Wanted
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.loading import NO_SETTINGS, build_pipeline, load_backend
from nsp_cli.engine.process import process
from nsp_cli.image.frame import Frame
from nsp_cli.model import registry
from nsp_cli.model.spec import Task

if TYPE_CHECKING:
    from torch import nn

    from nsp_cli.model.spec import ModelSpec

__all__ = ["DEFAULT_SR_MODE", "denoise", "export", "load_backend", "load_model", "super_resolve"]

Photo = TypeVar("Photo", Frame, NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32])

DEFAULT_SR_MODE = Task.DIRECT
"""The mode that measures best on noise that is correlated like a camera's: `benchmarks/super_resolution.py`."""


def denoise(
    photo: Photo,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    noise: float | None = None,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Photo:
    """Remove the noise of a photo.

    Parameters
    ----------
    photo : a `Frame`, or an (H, W, 3) or (H, W, 1) array of uint8, uint16 or float32 in [0, 1]
    model : see `load_backend`; backend : an opened one, which many photos can share
    strength, luma, chroma : see `ops.blend.Looks`; strength "auto" measures the photo's noise, see `nsp_cli.strength`
    noise : what is known of it, see `engine.process`; None to measure it
    tile, report : see `engine.process`

    Returns
    -------
    the same kind, size and depth; with `strength` 0 the very same pixels

    Raises
    ------
    NspError : see `nsp_cli.errors`
    """
    backend = backend or load_backend(model, megapixels=_megapixels(photo))
    return _run(photo, backend, Wanted(strength, luma, chroma, noise), tile, report)


def super_resolve(
    photo: Photo,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    mode: Task = DEFAULT_SR_MODE,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    noise: float | None = None,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Photo:
    """Denoise and enlarge a photo by the model's scale. See `denoise`; `mode` is one of the sr modes of `Task`."""
    backend = backend or load_backend(model, mode, megapixels=_megapixels(photo))
    return _run(photo, backend, Wanted(strength, luma, chroma, noise), tile, report)


def load_model(model: str | Path | None = None, task: Task = Task.DENOISE) -> tuple[nn.Module, ModelSpec]:
    """A torch network and its recipe; `model` and `task` as for `load_backend`. Raises `ModelError`."""
    from nsp_cli.model import checkpoint

    return checkpoint.load_model(registry.resolve(model, task))


def export(
    model: str | Path | None,
    target: Path,
    task: Task = Task.DENOISE,
    *,
    settings: Mapping[str, Any] = NO_SETTINGS,
    overwrite: bool = False,
) -> float:
    """Write the whole pipeline as ONNX, checked against torch; see `exporting.export`, and `load_backend`."""
    from nsp_cli.engine.exporting import export as write_onnx

    network, spec = load_model(model, task)
    pipeline = build_pipeline(network, spec, task, settings, registry.resolve(model, task).name)
    spec = replace(spec, method_args={**spec.method_args, **settings})
    return write_onnx(pipeline, spec, target, overwrite=overwrite)


def _megapixels(photo: Photo) -> float:
    height, width = (photo.pixels if isinstance(photo, Frame) else photo).shape[:2]
    return height * width / 1e6


def _run(
    photo: Photo,
    backend: Backend,
    looks: Wanted,
    tile: int,
    report: Callable[[float], None],
) -> Photo:
    frame = photo if isinstance(photo, Frame) else Frame(photo)
    choice = looks.choose(frame, backend)
    result = process(frame, backend, looks=choice.looks, noise=choice.told, tile=tile, report=report)
    return result if isinstance(photo, Frame) else result.pixels  # pyright: ignore[reportReturnType]

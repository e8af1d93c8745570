"""The public Python API, the same that the command line calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.auto_strength import resolve_blend
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.export.api import export, export_darktable, export_int8
from nsp_cli.engine.loading import load_backend, open_backend
from nsp_cli.engine.options import BlendOptions, DenoiseOptions, Strength
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image.arrays import as_frame, to_input_kind
from nsp_cli.image.frame import Frame
from nsp_cli.model import registry
from nsp_cli.model.spec import SrMode, Task, TaskName
from nsp_cli.system.arguments import OneOf, checked

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

    from nsp_cli.model.spec import ModelSpec

__all__ = [
    "DEFAULT_SR_MODE",
    "denoise",
    "denoise_frame",
    "export",
    "export_darktable",
    "export_int8",
    "load_backend",
    "load_model",
    "open_backend",
    "super_resolve",
]

Photo = TypeVar("Photo", Frame, NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32], "Image")

Mode = Annotated[str, OneOf(tuple(SrMode))]
"""A `Task` that enlarges, see `SrMode`, or its value as text."""

DEFAULT_SR_MODE = Task.DIRECT
"""The mode that measures best on noise that is correlated like a camera's: `benchmarks/super_resolution.py`."""


class _PhotoOptions(TypedDict, total=False):
    """The keywords of `denoise`, for editors and type checkers."""

    model: str | Path | None
    backend: Backend | None
    strength: Strength
    luma: float
    chroma: float
    noise: float | None
    tile: int
    report: Callable[[float], None]


class _EnlargeOptions(_PhotoOptions, total=False):
    """The keywords of `super_resolve`."""

    mode: Mode


def denoise_frame(
    frame: Frame,
    backend: Backend,
    options: DenoiseOptions = DenoiseOptions(),  # noqa: B008 (frozen)
    report: Callable[[float], None] = lambda _: None,
) -> tuple[Frame, Blend]:
    """Denoise or enlarge a frame, for commands, batches and the Python API.

    Parameters
    ----------
    frame : Frame
        The photo, in any depth.
    backend : Backend
        An opened model, see `open_backend`.
    options : DenoiseOptions
        Only `blend` and `tile` are used.
    report : callable
        Called with the fraction of the photo that is done, 0 … 1.

    Returns
    -------
    Frame
        The result, with the photo's metadata.
    Blend
        The strengths and the noise level that were used, and the measurement that decided a strength of "auto".

    Raises
    ------
    UsageError
        The blend or the tile does not fit the model.
    MemoryLimitError
        Not even the smallest tile fits into memory.
    InputError, OutputError
        The photo, or what the model returns, has values that are not finite.
    """
    blend = resolve_blend(options.blend, frame, backend)
    return process(frame, backend, blend, tile=options.tile, report=report), blend


@overload
def denoise(photo: str | Path, **options: Unpack[_PhotoOptions]) -> Frame: ...
@overload
def denoise(photo: Photo, **options: Unpack[_PhotoOptions]) -> Photo: ...
@checked
def denoise(
    photo: Any,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    noise: float | None = None,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Any:
    """Remove the noise of a photo.

    Parameters
    ----------
    photo : ndarray, PIL.Image.Image, str, Path or Frame
        An array of shape (H, W, 3) or (H, W, 1) in sRGB: uint8, uint16, or float32 where black is 0 and white is 1,
        with at most 1 % of the values above 16. Or a picture of Pillow (L, LA, RGB, RGBA), the path of a photo, or a
        `Frame`.
    model : str or Path, optional
        A name of `nsp models`, or the path of a .safetensors or .onnx file. None is the default denoiser.
    backend : Backend, optional
        An opened model in place of `model`, see `load_backend`; many photos can share one.
    strength : float or "auto"
        Percentage of the change that is applied, 0 to 100. "auto" chooses it by the photo's noise.
    luma, chroma : float
        Percentages of `strength` that are applied to brightness and to colour, 0 to 100.
    noise : float, optional
        Standard deviation of the luma noise where white is 255, 0 to 255. None measures it on the photo. It is an
        input of noise-conditional models, such as `quick`, and is used by `strength="auto"`; else it is refused.
    tile : int
        Side of a tile in pixels. 0 chooses it by the free memory; models such as TBSN prescribe their own, because the
        result depends on it.
    report : callable
        Called with the fraction of the photo that is done, 0 to 1.

    Returns
    -------
    ndarray, PIL.Image.Image or Frame
        The denoised photo: the kind of `photo` (a `Frame` for a path), with its size and dtype. With `strength` 0 the
        pixels are unchanged.

    Raises
    ------
    UsageError
        An argument is out of range, the photo has another shape, dtype or range, both `model` and `backend` are given,
        or the backend was opened for another task.
    InputError
        The path cannot be read, or the photo has values that are not finite.
    ModelError, BackendError
        The model, the device or the runtime is not available.
    MemoryLimitError
        Not even the smallest tile fits into memory.
    OutputError
        The model returns values that are not finite.
    """
    options = DenoiseOptions(tile=tile, blend=BlendOptions(strength, luma, chroma, noise))
    return _run(photo, model, backend, options, report)


@overload
def super_resolve(photo: str | Path, **options: Unpack[_EnlargeOptions]) -> Frame: ...
@overload
def super_resolve(photo: Photo, **options: Unpack[_EnlargeOptions]) -> Photo: ...
@checked
def super_resolve(
    photo: Any,
    *,
    model: str | Path | None = None,
    backend: Backend | None = None,
    mode: Mode = DEFAULT_SR_MODE,
    strength: Strength = 100.0,
    luma: float = 100.0,
    chroma: float = 100.0,
    noise: float | None = None,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Any:
    """Denoise and enlarge a photo by the scale of the model.

    Parameters
    ----------
    photo, backend, strength, luma, chroma, noise, tile, report
        See `denoise`. With `strength` 0 the photo is enlarged by bicubic interpolation.
    model : str or Path, optional
        A name of `nsp models`, or the path of a .safetensors or .onnx file. None is the default model for `mode`.
    mode : Task or str
        `Task.DIRECT` enlarges the noisy photo in one pass, `Task.SHUFFLE` interleaves the predictions of the photo's
        sub-images, and `Task.SHUFFLE_DENOISE` denoises that result once more.

    Returns
    -------
    ndarray, PIL.Image.Image or Frame
        The kind and dtype of `photo`, of shape (scale · H, scale · W, C); the models that ship have scale 2. Float
        values may exceed those of the photo a little at edges.

    Raises
    ------
    UsageError
        `mode` does not enlarge, or is not the one that the backend was opened for.
    NspError
        See `denoise`.
    """
    options = DenoiseOptions(task=Task(mode), tile=tile, blend=BlendOptions(strength, luma, chroma, noise))
    return _run(photo, model, backend, options, report)


def _run(
    photo: Any,
    model: str | Path | None,
    backend: Backend | None,
    options: DenoiseOptions,
    report: Callable[[float], None],
) -> Any:
    """Process a photo of any kind with a model or an opened backend.

    Raises
    ------
    UsageError
        Both are given, or the backend was opened for another task.
    """
    if model is not None and backend is not None:
        raise UsageError("Give either `model` or `backend`; an opened backend has its model already.")
    frame = as_frame(photo)
    if backend is None:
        backend = load_backend(model, options.task, megapixels=frame.megapixels)
    if backend.spec.task != options.task:
        raise UsageError(
            f"The backend was opened for '{backend.spec.task}', not for '{options.task}'; open it with "
            f"`load_backend(…, task='{options.task}')`."
        )
    return to_input_kind(photo, denoise_frame(frame, backend, options, report)[0])


@checked
def load_model(model: str | Path | None = None, task: TaskName = Task.DENOISE) -> tuple[nn.Module, ModelSpec]:
    """Load the torch network of a model, and its settings.

    Parameters
    ----------
    model : str or Path, optional
        A name of `nsp models`, or the path of a .safetensors file. None is the default model for `task`.
    task : Task or str
        The task whose default is loaded.

    Returns
    -------
    torch.nn.Module
        The network in float32, on the CPU, in evaluation mode.
    ModelSpec
        The recipe that is stored with the weights.

    Raises
    ------
    ModelError
        There is no such model, it cannot be read, or it is an ONNX file.
    UsageError
        An argument has another type, or `task` is not the name of a task.
    """
    from nsp_cli.model import checkpoint

    return checkpoint.load_model(registry.resolve(model, Task(task)))

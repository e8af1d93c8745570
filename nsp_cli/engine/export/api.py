"""Exports of a model that is given by its name or file: ONNX in float32 or int8, and packages for darktable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsp_cli.engine.loading import NO_SETTINGS, build_pipeline
from nsp_cli.errors import UsageError
from nsp_cli.model import registry
from nsp_cli.model.spec import Task, TaskName
from nsp_cli.system.arguments import checked

if TYPE_CHECKING:
    from torch import nn

    from nsp_cli.methods import Pipeline
    from nsp_cli.model.spec import ModelSpec


@checked
def export(
    model: str | Path | None,
    target: str | Path,
    task: TaskName = Task.DENOISE,
    *,
    settings: Mapping[str, Any] = NO_SETTINGS,
    noise_input: bool = False,
    overwrite: bool = False,
) -> float:
    """Write the whole pipeline as ONNX, checked against torch.

    Parameters
    ----------
    model : str or Path or None
        A name of `nsp models`, or the path of a .safetensors file. None is `fast` to denoise,
        else the default model for `task`.
    target : str or Path
        The file to write, whose name ends in .onnx.
    task : Task or str
        Denoising, or one of the modes that enlarge.
    settings : mapping
        Settings of the model's method in place of those that are stored with it, as in {"test_shift": 1}.
    noise_input : bool
        Whether the graph of a noise-conditional model has a second, optional input "noise_level", (1,) float32: the
        standard deviation of the luma noise, white = 1. Where it is left out or below 0, the graph measures it.
    overwrite : bool
        Whether to replace a file that exists.

    Returns
    -------
    float
        The largest absolute difference from torch, white = 1.

    Raises
    ------
    UsageError
        An argument has another type, `target` does not end in .onnx, or the method lacks one of the settings.
    ModelError
        The model cannot be read or cannot do the task, or onnxruntime and torch disagree.
    OutputError
        The file cannot be written.
    TargetExistsError
        The file exists, and `overwrite` is False.
    UnavailableError
        onnx is not installed.
    """
    target = _with_suffix(target, ".onnx")
    from nsp_cli.engine.export.onnx_file import export as write_onnx

    opened = _open(model, task, settings)
    return write_onnx(opened.pipeline, opened.spec, target, noise_input=noise_input, overwrite=overwrite)


@checked
def export_int8(
    model: str | Path | None,
    target: str | Path,
    task: TaskName = Task.DENOISE,
    *,
    photos: str | Path,
    settings: Mapping[str, Any] = NO_SETTINGS,
    noise_input: bool = False,
    overwrite: bool = False,
) -> float:
    """Write the whole pipeline as ONNX in int8, with ranges that are measured on noisy photos.

    Parameters
    ----------
    model, task, settings, target, noise_input, overwrite
        See `export`.
    photos : str or Path
        A folder of noisy photos like those that the model is to denoise; up to 24 of them are used. Those that are too
        small are left out with a warning.

    Returns
    -------
    float
        The root mean square of what int8 changes in the results of these photos, white = 1.

    Raises
    ------
    NoInputError
        The folder has no photos, or none that is large enough.
    InputError
        A photo cannot be read.
    UsageError, ModelError, OutputError, UnavailableError
        As for `export`. `ModelError` also for a model whose network is no ResUNet or TwoScale.
    """
    target = _with_suffix(target, ".onnx")
    from nsp_cli.engine.export import onnx_file
    from nsp_cli.engine.export.calibration import quantize_by_photos

    onnx_file.check_target(target, overwrite)
    opened = _open(model, task, settings)
    rounded, change = quantize_by_photos(opened.network, Path(photos))
    onnx_file.export_int8(rounded, opened.spec, opened.task, target, noise_input=noise_input, overwrite=overwrite)
    return change


@checked
def export_darktable(
    model: str | Path | None,
    target: str | Path,
    task: TaskName = Task.DENOISE,
    *,
    settings: Mapping[str, Any] = NO_SETTINGS,
    overwrite: bool = False,
) -> dict[Path, float]:
    """Write packages for darktable's neural restore, without the coarse chroma of a model that has it.

    Parameters
    ----------
    model, task, settings
        See `export`.
    target : str or Path
        The file to write, whose name ends in .dtmodel. A noise-conditional model writes three files beside each other,
        one for each noise level: `STEM-low.dtmodel`, `STEM-mid.dtmodel` and `STEM-high.dtmodel`.
    overwrite : bool
        Whether to replace files that exist.

    Returns
    -------
    dict
        Written file → largest absolute difference from torch, white = 1.

    Raises
    ------
    UsageError
        An argument has another type, `target` does not end in .dtmodel, or the method lacks one of the settings.
    ModelError
        The model cannot be read or cannot do the task, it enlarges by a factor other than 2 or 4, or onnxruntime and
        torch disagree.
    OutputError
        A file cannot be written.
    TargetExistsError
        A file exists, and `overwrite` is False; none is written then.
    UnavailableError
        onnx is not installed.
    """
    target = _with_suffix(target, ".dtmodel")
    from nsp_cli.engine.export import darktable

    opened = _open(model, task, settings)
    path = opened.path
    info = next((info for info in registry.at_hand() if info.path == path), registry.ModelInfo(path.stem, path))
    return dict(darktable.export(opened.pipeline, info, target, overwrite=overwrite))


@dataclass(frozen=True)
class _Opened:
    """A model for one task, in torch; `spec` has the settings that were given in place of its own."""

    path: Path
    task: Task
    network: nn.Module
    spec: ModelSpec
    pipeline: Pipeline


def model_to_export(model: str | Path | None, task: Task) -> Path:
    """Return the file of a model; None is the default of the task, and `registry.PLAIN` to denoise."""
    if model is None and task is Task.DENOISE:
        model = registry.PLAIN
    return registry.resolve(model, task)


def _with_suffix(target: str | Path, suffix: str) -> Path:
    """Return the path of a file to write. Raises `UsageError` where its name does not end in `suffix`."""
    target = Path(target)
    if target.suffix != suffix:
        raise UsageError(f"The file to write must end in {suffix}, got {target.name}.")
    return target


def _open(model: str | Path | None, task: str, settings: Mapping[str, Any]) -> _Opened:
    """Load a model for an export. Raises `ModelError` and `UsageError`."""
    from nsp_cli.model import checkpoint

    task = Task(task)
    path = model_to_export(model, task)
    network, spec = checkpoint.load_model(path)
    pipeline = build_pipeline(network, spec, task, settings, path.name)
    return _Opened(path, task, network, replace(spec, method_args={**spec.method_args, **settings}), pipeline)

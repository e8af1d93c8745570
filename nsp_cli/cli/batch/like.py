"""`--like RESULT`: the settings that a result was made with, from its stamp, as values of flags."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nsp_cli.cli.batch.stamp import Stamp, read_stamps
from nsp_cli.cli.console import warn
from nsp_cli.errors import InputError, ModelError, UsageError
from nsp_cli.image import WhiteBalance
from nsp_cli.model import registry
from nsp_cli.model.spec import Precision, Task


def flags_like(result: Path, task: Task, given: Collection[str]) -> dict[str, Any]:
    """Return the values of flags that a result was made with, by the names of `PhotoFlags`, and of `mode` and `scale`.

    Parameters
    ----------
    result : Path
        A photo with a stamp; the newest one counts.
    task : Task
        The command's; results of `nsp denoise` and of `nsp sr` are not like each other.
    given : collection of str
        Names of flags that are left out, since the user has given them.

    Raises
    ------
    InputError
        The result cannot be read, or has no stamp that can be used.
    UsageError
        The result was made by the other command, or by a model that is not here.
    """
    stamps = read_stamps(result)
    if not stamps:
        raise InputError(f"{result} has no stamp of nsp; --like takes a result of nsp denoise or nsp sr.")
    stamp = stamps[-1]
    try:
        made_by, values = Task(stamp.settings["task"]), _values(stamp.settings)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{result}: its stamp cannot be used ({error}); it may be of another version.") from error
    if (made_by is Task.DENOISE) is not (task is Task.DENOISE):
        command = "denoise" if made_by is Task.DENOISE else "sr"
        raise UsageError(f"{result} was made by nsp {command}; use that command.")
    if task is not Task.DENOISE:
        values["mode"] = made_by
    if "model" not in given:
        values["model"] = _model(result, stamp, made_by)
    return {name: value for name, value in values.items() if name not in given}


def _values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert what a stamp has to the types of the flags. Raises ValueError, KeyError or TypeError."""
    values: dict[str, Any] = {
        "strength": str(settings["strength"]),
        "precision": Precision(settings["precision"]),
        "luma": float(settings["luma"]),
        "chroma": float(settings["chroma"]),
        "quality": int(settings["quality"]),
    }
    kinds = {
        "noise": float,
        "blind": int,
        "coarse_chroma": bool,
        "scale": int,
        "raw_wb": WhiteBalance,
        "raw_exposure": float,
    }
    return values | {name: kind(settings[name]) for name, kind in kinds.items() if name in settings}


def _model(result: Path, stamp: Stamp, task: Task) -> str:
    """Return the model of a stamp; warn if its file has changed. Raises `UsageError` where it is not found."""
    try:
        path = registry.resolve(stamp.model, task)
    except ModelError as error:
        raise UsageError(
            f"{result} was made with the model {stamp.model}, which is not here; give its path with -m."
        ) from error
    if registry.sha256(path) != stamp.sha256:
        warn(f"{result} was made with another version of the model {stamp.model}: results may differ.")
    return stamp.model

"""The weights that are at hand: those that ship, and those in the user's own folder. Imports no framework."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from nsp_cli.errors import ModelError
from nsp_cli.model.spec import Task

_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class ModelInfo:
    """One line of `nsp models`; the fields are those of `weights/manifest.json`.

    `default_for` names the tasks (`spec.Task`) that these weights do where the user names none. `graphs` are the files
    of ONNX graphs, by task, which refer to the tensors in the weights' file, see `engine.exporting.export`.
    """

    name: str
    path: Path
    method: str = ""
    network: str = ""
    photos: str = ""
    licence: str = ""
    quality: str = ""
    sha256: str = ""
    default_for: tuple[str, ...] = ()
    graphs: Mapping[str, str] = field(default_factory=dict)

    @property
    def megabytes(self) -> float:
        return self.path.stat().st_size / 1e6


def home() -> Path:
    """The user's folder: `NSP_HOME`, or what the system calls the place for an application's data."""
    return Path(os.environ.get("NSP_HOME") or platformdirs.user_data_dir("nsp"))


def shipped_folder() -> Path:
    """`weights/`: inside the package when installed, beside it in a checkout. Raises `ModelError`."""
    for folder in (_PACKAGE / "weights", _PACKAGE.parent / "weights"):
        if (folder / "manifest.json").is_file():
            return folder
    raise ModelError("The weights that ship with nsp are missing; install nsp again.")


def shipped() -> list[ModelInfo]:
    """The models of the manifest, in its order. Raises `ModelError`."""
    folder = shipped_folder()
    try:
        entries: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["models"]
        return [
            ModelInfo(path=folder / entry.pop("file"), default_for=tuple(entry.pop("default_for")), **entry)
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / 'manifest.json'} cannot be read: {error}.") from error


def at_hand() -> list[ModelInfo]:
    """Everything that `-m NAME` may name: what ships, then the files in `home()/weights`."""
    own = sorted(path for path in (home() / "weights").glob("*") if path.suffix in _SUFFIXES)
    return shipped() + [ModelInfo(name=path.stem, path=path, photos="your own") for path in own]


def resolve(model: str | Path | None = None, task: str = Task.DENOISE) -> Path:
    """The file that a name or a path stands for; None is the task's default that ships. Raises `ModelError`."""
    if model is None:
        return next((info.path for info in shipped() if task in info.default_for), shipped()[0].path)
    path = Path(model)
    if path.suffix in _SUFFIXES or path.is_file():
        if path.is_file():
            return path
        raise ModelError(f"There is no model at {path}.")
    models = at_hand()
    for info in models:
        if info.name == str(model):
            return info.path
    names = ", ".join(info.name for info in models)
    raise ModelError(
        f"There is no model '{model}'; there are {names}, or give the path of a .safetensors or .onnx file."
    )


def shipped_graph(weights: Path, task: str) -> Path | None:
    """The ONNX graph that ships with the weights in this file, for a task; None where there is none."""
    found = next((info for info in shipped() if info.path == weights), None)
    name = found.graphs.get(task) if found else None
    return weights.with_name(name) if name else None


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

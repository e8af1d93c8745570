"""Names of models: those that ship, and those in the user's folder. Imports no framework."""

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

PLAIN = "fast"
"""Name of the denoiser that is one network at one scale. `nsp train` starts from it, and `nsp export` writes it, where
no model is named: other programs cut photos into tiles that overlap too little for two scales."""


@dataclass(frozen=True)
class ModelInfo:
    """One line of `nsp models`; the fields are those of `weights/manifest.json`.

    `default_for` names the tasks (`spec.Task`) that these weights do where the user names none. `graphs` are the files
    of ONNX graphs, by task, which refer to the tensors in the weights' file, see `engine.export.onnx_file.export`;
    `int8` are those of graphs in int8, which hold weights of their own.
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
    int8: Mapping[str, str] = field(default_factory=dict)

    @property
    def megabytes(self) -> float:
        """Size of the weights file in MB."""
        return self.path.stat().st_size / 1e6


def home() -> Path:
    """Return the user's folder: `NSP_HOME`, or the system's folder for application data."""
    return Path(os.environ.get("NSP_HOME") or platformdirs.user_data_dir("nsp"))


def shipped_folder() -> Path:
    """Return `weights/`: inside the package when installed, beside it in a checkout. Raises `ModelError`."""
    for folder in (_PACKAGE / "weights", _PACKAGE.parent / "weights"):
        if (folder / "manifest.json").is_file():
            return folder
    raise ModelError("The weights that ship with nsp are missing; install nsp again.")


def shipped() -> list[ModelInfo]:
    """List the models of the manifest, in its order. Raises `ModelError`."""
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
    """List all models that have a name: those that ship, then the files in `home()/weights`."""
    own = sorted(path for path in (home() / "weights").glob("*") if path.suffix in _SUFFIXES)
    return shipped() + [ModelInfo(name=path.stem, path=path, photos="your own") for path in own]


def resolve(model: str | Path | None = None, task: str = Task.DENOISE) -> Path:
    """Return the file of a model. Raises `ModelError`.

    Parameters
    ----------
    model : str or Path, optional
        A name of `at_hand`, or the path of a file. A name takes precedence over a file that is called the same in the
        working folder; a `Path`, or text with a separator such as ``./fast``, is always a file. None is the task's
        default that ships.
    task : str
        A `Task`, for the default.
    """
    if model is None:
        models = shipped()
        return next((info.path for info in models if task in info.default_for), models[0].path)
    path = Path(model)
    may_be_name = path.name == model and path.suffix not in _SUFFIXES
    known = {info.name: info.path for info in reversed(at_hand())} if may_be_name else {}
    if model in known:
        return known[str(model)]
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # no permission, a name that is too long, a null character
        raise ModelError(f"There is no model at {model}: {error}.") from error
    if not may_be_name:
        raise ModelError(f"There is no model at {model}.")
    raise ModelError(
        f"There is no model '{model}'; there are {', '.join(reversed(known))}, "
        "or give the path of a .safetensors or .onnx file."
    )


def shipped_graphs(weights: Path, task: str) -> tuple[Path | None, Path | None]:
    """Find the ONNX graphs that ship with a weights file, for a task: in floating point, and in int8."""
    found = next((info for info in shipped() if info.path == weights), None)
    if found is None:
        return None, None
    graph, int8 = (weights.with_name(graphs[task]) if task in graphs else None for graphs in (found.graphs, found.int8))
    return graph, int8


def graph_of_half_size(graph: Path) -> Path:
    """Return the file beside a graph that has its network for the photo at half its size, see `engine.half_size`."""
    return graph.with_name(f"{graph.stem}-half{graph.suffix}")


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal. Raises `ModelError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror}.") from error

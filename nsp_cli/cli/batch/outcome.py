"""Outcomes of photos and the settings of a batch, for printed lines, JSON and the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsp_cli.engine.options import DenoiseOptions, named_settings

if TYPE_CHECKING:
    from nsp_cli.cli.report.previews import Previews


_OPTIONAL = ("scale", "blind", "coarse_chroma")
_DESCRIBED = (
    "task",
    *_OPTIONAL,
    *("tile", "device", "precision", "strength", "luma", "chroma", "noise"),
    *("quality", "format", "metadata", "if_exists"),
)
"""The settings of JSON lines and reports, in their order; those of `_OPTIONAL` only where they are given."""


class Status(StrEnum):
    """Outcome of a photo."""

    WRITTEN = "written"
    SKIPPED = "skipped"
    FAILED = "failed"
    PLANNED = "planned"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one photo, for a printed line, JSON and the report.

    Attributes
    ----------
    source : Path
        The photo.
    target : Path or None
        Its result; None where there is none.
    status : Status
        Whether the photo is planned, written, skipped or failed.
    seconds : float
        Time for reading, inference and writing, which overlap with those of other photos.
    megapixels : float or None
        Size of the photo; None if it was not read.
    warnings : tuple of str
        Sentences for the user.
    error : str
        Message of the error of a photo that failed; empty for others.
    notes : mapping
        Settings that were chosen for this photo alone, such as a strength that was measured.
    previews : Previews or None
        Small pictures for the report; None without one.
    unread : str or None
        Name of the photo's format, if it is one that is not read.
    """

    source: Path
    target: Path | None
    status: Status
    seconds: float = 0.0
    megapixels: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    previews: Previews | None = None
    unread: str | None = None


@dataclass(frozen=True)
class Recipe:
    """The model and the settings that all photos of a command share, for JSON and report."""

    model: str
    sha256: str
    settings: Mapping[str, object]


def describe(options: DenoiseOptions) -> Recipe:
    """Name the model and list the settings of a command; no framework is imported. Raises `ModelError`."""
    from nsp_cli.model import registry

    path = registry.resolve(options.model.name, options.task)
    return Recipe(path.stem, registry.sha256(path), named_settings(options, _DESCRIBED, _OPTIONAL))


def as_json(outcome: Outcome, recipe: Recipe) -> str:
    """Format one line of JSON.

    Bytes of names that are not valid Unicode become lone surrogates, as in Python's `os.fsdecode`.
    """
    notes = dict(outcome.notes)
    model, sha256 = notes.pop("model", recipe.model), notes.pop("model_sha256", recipe.sha256)
    values: dict[str, Any] = {
        "input": str(outcome.source),
        "output": None if outcome.target is None else str(outcome.target),
        "status": str(outcome.status),
        "model": model,
        "model_sha256": sha256,
        "settings": {**recipe.settings, **notes},
        "seconds": round(outcome.seconds, 4),
        "megapixels": outcome.megapixels,
        "warnings": list(outcome.warnings),
        "error": outcome.error,
    }
    return json.dumps(values, default=str)


def unread_sentence(formats: Counter[str]) -> str:
    """Return a sentence on files in formats that are not read: how many there are of each."""
    order = sorted(formats.items(), key=lambda item: (-item[1], item[0]))
    count, kinds = formats.total(), ", ".join(f"{number} {name}" for name, number in order)
    are, them = ("file is", "it") if count == 1 else ("files are", "them")
    install = " HEIC needs another package: pip install pi-heif." if "HEIC" in formats else ""
    return f"{count} {are} not read: {kinds}. Export {them} as TIFF or JPEG first.{install}"

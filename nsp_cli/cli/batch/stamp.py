"""The stamp of a result: version, model and settings, as an entry of `xmpMM:History` in its XMP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from nsp_cli.engine.options import DenoiseOptions, named_settings
from nsp_cli.image import Frame, read
from nsp_cli.image.metadata.history import Event, add_event, events
from nsp_cli.image.metadata.raw_exif import raw_xmp
from nsp_cli.model import registry
from nsp_cli.model.spec import Task
from nsp_cli.system.version import __version__

_AGENT = "nsp "
_STAMPED = ("task", "scale", "blind", "coarse_chroma", "precision", "strength", "luma", "chroma", "noise", "quality")
_STAMPED_OF_RAW = ("raw_wb", "raw_exposure")
"""The settings of a stamp, in their order, and those that photos developed from RAW have besides."""


@dataclass(frozen=True)
class Stamp:
    """Version, model and settings that a result was made with.

    Attributes
    ----------
    version : str
        Version of nsp.
    model : str
        A name of `nsp models`, or the name of a file without its folder.
    sha256 : str
        SHA-256 of the model's file, in hexadecimal digits.
    settings : mapping
        Name of a flag → value that was given.
    measured : mapping
        Values that were measured on the photo for a strength of "auto".
    """

    version: str
    model: str
    sha256: str
    settings: Mapping[str, Any]
    measured: Mapping[str, Any]

    def sentence(self) -> str:
        """Describe the stamp in one line."""
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        measured = "".join(f", measured {name} {value}" for name, value in self.measured.items())
        sentence = f"nsp {self.version}, model {self.model} (sha256 {self.sha256[:12]}…), {settings}{measured}"
        return "".join(letter if letter.isprintable() else "?" for letter in sentence)


def add_stamp(frame: Frame, options: DenoiseOptions, measured: Mapping[str, object]) -> Frame:
    """Return a result with a stamp in its XMP; where that is not possible, without one and with a warning."""
    name, sha256 = _identity(registry.resolve(options.model.name, options.task))
    names = (*_STAMPED, *_STAMPED_OF_RAW) if frame.container == "raw" else _STAMPED
    settings = named_settings(options, names, optional=names)
    parameters: dict[str, object] = {"model": name, "sha256": sha256, "settings": settings}
    if measured:
        parameters["measured"] = measured
    verb = "filtered" if options.task is Task.DENOISE else "resized"
    xmp = add_event(frame.metadata.xmp, Event(verb, _AGENT + __version__, json.dumps(parameters)))
    if xmp is None:
        sentence = "The settings are not stamped into XMP: its packet is full or cannot be read."
        return replace(frame, warnings=(*frame.warnings, sentence))
    return replace(frame, metadata=replace(frame.metadata, xmp=xmp))


def read_stamps(photo: Path) -> list[Stamp]:
    """Return the stamps of a photo, the oldest first; entries of other programs are left out. Raises `InputError`."""
    frame = read(photo)
    # A RAW file's XMP is not in the frame where it has development settings.
    xmp = raw_xmp(photo.read_bytes(), developed=False)[0] if frame.container == "raw" else frame.metadata.xmp
    found: list[Stamp] = []
    for event in events(xmp):
        if not event.agent.startswith(_AGENT):
            continue
        try:
            values = json.loads(event.parameters)
            stamp = Stamp(
                event.agent.removeprefix(_AGENT),
                str(values["model"]),
                str(values["sha256"]),
                dict(values["settings"]),
                dict(values.get("measured", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        found.append(stamp)
    return found


@cache
def _identity(path: Path) -> tuple[str, str]:
    """Return a model's name and the SHA-256 of its file."""
    known = next((info.name for info in registry.at_hand() if info.path == path), path.name)
    return known, registry.sha256(path)

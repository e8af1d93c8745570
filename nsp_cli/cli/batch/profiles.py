"""Settings for each camera and ISO, from `config.toml` in the user's config folder.

::

    [camera."NIKON D800"]
    strength = 80

    [camera."NIKON D800".iso."3200-"]
    model = "/models/d800.safetensors"
    strength = "auto"

The camera is EXIF's model, without regard to case; it may be a pattern such as "*". A range of ISO is "1600-3199",
"3200-" or "-800", and has the camera's other settings too.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from glob import has_magic
from math import inf
from pathlib import Path
from typing import Any

import platformdirs

from nsp_cli.engine.options import DenoiseOptions, with_settings
from nsp_cli.errors import NspError, UsageError
from nsp_cli.image.metadata.exif import camera_and_iso
from nsp_cli.model import registry
from nsp_cli.model.spec import Precision

_KINDS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "precision": (str,),
    "blind": (int,),
    "coarse_chroma": (bool,),
    "strength": (int, float, str),
    **dict.fromkeys(("luma", "chroma", "noise"), (int, float)),
}


@dataclass(frozen=True)
class Profile:
    """Settings of one camera in a range of ISO.

    Attributes
    ----------
    name : str
        Name in the file, such as "NIKON D800, ISO 3200-".
    camera : str
        Pattern of EXIF's camera model, in lower case.
    iso : tuple[float, float] or None
        The lowest and the highest ISO; None for any, also an unknown one.
    settings : mapping
        Values by the names of the flags.
    """

    name: str
    camera: str
    iso: tuple[float, float] | None
    settings: Mapping[str, Any]

    def fits(self, camera: str, iso: int | None) -> bool:
        """Return whether the profile is for photos of a camera and an ISO, which may be unknown."""
        in_range = self.iso is None or (iso is not None and self.iso[0] <= iso <= self.iso[1])
        return in_range and fnmatchcase(camera.lower(), self.camera)

    def applied(self, options: DenoiseOptions, given: Collection[str]) -> DenoiseOptions:
        """Return options with the profile's settings, but those that are `given` as flags."""
        return with_settings(options, {name: value for name, value in self.settings.items() if name not in given})


def config_file() -> Path:
    """Return the path of the user's `config.toml`, which need not exist: in `NSP_HOME`, or the system's folder."""
    return Path(os.environ.get("NSP_HOME") or platformdirs.user_config_dir("nsp")) / "config.toml"


def load_profiles(path: Path) -> list[Profile]:
    """Read a config file, an empty one if it does not exist.

    Returns
    -------
    list of Profile
        The profiles in the order in which they are tried: cameras by their names before patterns, ranges of ISO first.

    Raises
    ------
    UsageError
        The file cannot be read, or holds something else than profiles.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return _parse(text)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # TOML and Unicode errors are ValueErrors
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    except NspError as error:
        raise UsageError(f"{path}, line {_line(text)}: {str(error).rstrip('.')}.") from error


def _parse(text: str) -> list[Profile]:
    """Convert TOML to profiles in the order in which they are tried. Raises ValueError and `NspError`."""
    values = tomllib.loads(text)
    if unknown := values.keys() - {"camera"}:
        raise UsageError(f"it holds tables such as [camera.\"NIKON D800\"], got '{sorted(unknown)[0]}'")
    cameras = _table(values.get("camera", {}), "camera")
    found = [profile for name, table in cameras.items() for profile in _profiles(name, _table(table, name))]
    return sorted(found, key=lambda profile: (has_magic(profile.camera), profile.iso is None))


def _line(text: str) -> int:
    """Return the number of the first line with which `_parse` raises `NspError`."""
    lines = text.splitlines()
    for number in range(1, len(lines)):
        try:
            _parse("\n".join(lines[:number]))
        except ValueError:  # a value of several lines
            continue
        except NspError:
            return number
    return len(lines)


@dataclass(frozen=True)
class Profiles:
    """The profiles of a command.

    Attributes
    ----------
    profiles : sequence of Profile
        The profiles in the order in which they are tried.
    given : collection of str
        Names of flags, whose settings profiles do not change.
    """

    profiles: Sequence[Profile]
    given: Collection[str] = ()

    def find(self, exif: bytes | None) -> Profile | None:
        """Return the first profile for a photo's camera and ISO."""
        camera, iso = camera_and_iso(exif)
        return next((profile for profile in self.profiles if profile.fits(camera, iso)), None)

    def choose(self, exif: bytes | None, options: DenoiseOptions) -> tuple[DenoiseOptions, dict[str, object]]:
        """Return the options for one photo, and what a profile has changed: its name, settings and model."""
        profile = self.find(exif)
        if profile is None:
            return options, {}
        changed = profile.applied(options, self.given)
        notes: dict[str, object] = {"profile": profile.name}
        notes |= {name: value for name, value in profile.settings.items() if name not in ("model", *self.given)}
        if changed.model.name != options.model.name:
            path = registry.resolve(changed.model.name, changed.task)
            notes |= {"model": path.stem, "model_sha256": _sha256(path)}
        return changed, notes


@cache
def _sha256(path: Path) -> str:
    return registry.sha256(path)


def read_profiles(given: Collection[str]) -> Profiles | None:
    """Read the user's config file; None if it has no profiles. Raises `UsageError`."""
    found = load_profiles(config_file())
    return Profiles(found, given) if found else None


def _profiles(camera: str, table: Mapping[str, Any]) -> Iterator[Profile]:
    """Yield the profiles of one camera's table: those with a range of ISO, then the one without."""
    settings = {name: value for name, value in table.items() if name != "iso"}
    for text, more in _table(table.get("iso", {}), f"{camera}: iso").items():
        name = f"{camera}, ISO {text}"
        merged = {**settings, **_table(more, name)}
        _check(name, merged)
        yield Profile(name, camera.lower(), _range(name, text), merged)
    _check(camera, settings)
    if settings:
        yield Profile(camera, camera.lower(), None, settings)


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a table, got {value!r}")
    return value


def _range(name: str, text: str) -> tuple[float, float]:
    """Parse a range of ISO such as "1600-3199", "3200-" or "-800". Raises `UsageError`."""
    found = re.fullmatch(r"(\d*)-(\d*)", text)
    if found is None or not (found[1] or found[2]):
        raise UsageError(f'{name} needs a range such as "1600-3199", "3200-" or "-800", got \'{text}\'')
    return float(found[1] or 0), float(found[2] or inf)


def _check(name: str, settings: Mapping[str, Any]) -> None:
    """Raise `NspError` for a setting that is unknown, of another type, out of range, or a model that is not there."""
    for key, value in settings.items():
        if key not in _KINDS:
            raise UsageError(f"{name}: '{key}' is not one of {', '.join(_KINDS)}")
        if type(value) not in _KINDS[key] or (key == "strength" and not _is_strength(value)):
            raise UsageError(f"{name}: {key} cannot be {value!r}")
    if settings.get("precision", "auto") not in tuple(Precision):
        raise UsageError(f"{name}: precision is one of {', '.join(Precision)}")
    try:
        with_settings(DenoiseOptions(), settings)
        if "model" in settings:
            registry.resolve(settings["model"])
    except NspError as error:
        raise UsageError(f"{name}: {str(error).replace('`', '')}") from error


def _is_strength(value: object) -> bool:
    return value == "auto" or not isinstance(value, str)

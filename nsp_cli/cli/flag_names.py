"""The flags of the parameters that messages of the library name."""

from __future__ import annotations

import re

_OTHER_NAMES = {
    "cache_megabytes": "--cache",
    "exposure": "--raw-exposure",
    "noise_level": "--noise",
    "others": "--set",
    "start": "--from",
    "teacher_cache_megabytes": "--teacher-cache",
    "teachers": "--teacher",
    "white_balance": "--raw-wb",
}
"""Flags that are not called like their parameter."""

_NAMED = frozenset(
    [
        "backend",
        "blind",
        "chroma",
        "dataset",
        "device",
        "exposure",
        "format",
        "keep",
        "lr",
        "luma",
        "method",
        "minutes",
        "model",
        "noise_level",
        "patch",
        "precision",
        "preset",
        "quality",
        "resume",
        "scale",
        "seed",
        "steps",
        "strength",
        "submission",
        "task",
        "teacher_views",
        "teachers",
        "tile",
        "white_balance",
    ]
)
"""Parameters that messages of the library name."""

_PARAMETER = re.compile(r"`(?:(?:network|method)_args\.(\w+=[^`]+)|(\w+)(?:=([^`]+))?)`")


def flag_of(name: str) -> str:
    """Return the flag of a parameter: `--raw-wb` for `white_balance`, else its name with dashes."""
    return _OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")


def with_flags(sentence: str) -> str:
    """Replace the parameters in a library's message by flags: `device=cpu` by --device cpu."""
    return _PARAMETER.sub(_flag, sentence)


def _flag(found: re.Match[str]) -> str:
    setting, name, value = found.groups()
    if setting is not None:
        return f"--set {setting}"
    if name not in _NAMED:
        return found[0]
    return flag_of(name) if value is None else f"{flag_of(name)} {value}"

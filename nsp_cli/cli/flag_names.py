"""The flags of the parameters that messages of the library name."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache

_OTHER_NAMES = {
    "cache_megabytes": "--cache",
    "check_fidelity": "--no-fidelity-check",
    "exposure": "--raw-exposure",
    "others": "--set",
    "start": "--from",
    "teacher_cache_megabytes": "--teacher-cache",
    "teachers": "--teacher",
    "white_balance": "--raw-wb",
}
"""Flags that are not called like their parameter."""

_OF_ONE_COMMAND = frozenset(["dataset", "method", "mode", "scale", "submission", "task"])
"""Parameters whose flags are not fields of a dataclass."""

_PARAMETER = re.compile(r"`(?:(?:network|method)_args\.(\w+=[^`]+)|(\w+)(?:=([^`]+))?)`")


@cache
def parameters() -> frozenset[str]:
    """Return the parameters that have a flag: the fields of the commands' dataclasses, and a few others."""
    from nsp_cli.cli.commands.train_flags import TrainFlags
    from nsp_cli.cli.photo_flags import PhotoFlags

    names = {field.name for flags in (PhotoFlags, TrainFlags) for field in fields(flags)}
    return frozenset(names) - {"given"} | _OF_ONE_COMMAND | _OTHER_NAMES.keys()


def flag_of(name: str) -> str:
    """Return the flag of a parameter: `--raw-wb` for `white_balance`, else its name with dashes."""
    return _OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")


def with_flags(sentence: str) -> str:
    """Replace the parameters in a library's message by flags: `device=cpu` by --device cpu."""
    return _PARAMETER.sub(_flag, sentence)


def _flag(found: re.Match[str]) -> str:
    """Return the flag of a parameter that a message names, or the text as it is."""
    setting, name, value = found.groups()
    if setting is not None:
        return f"--set {setting}"
    if name not in parameters():
        return found[0]
    return flag_of(name) if value is None else f"{flag_of(name)} {value}"

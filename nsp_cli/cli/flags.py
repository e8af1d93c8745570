"""Flags and parameters: commands that take a dataclass of flags, and the flags for parameters that messages name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, get_type_hints

import typer

Command = Callable[..., None]
_GIVEN, _CONTEXT = "given", "typer_context"

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


def takes(shared: type[Any], without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Let a command, whose last parameter is a `shared`, be called with that dataclass's fields instead.

    Typer makes flags of the parameters in a command's signature, so it is given one that has them all. A field `given`
    is no flag: it gets the names of the command's parameters that were given, and are not left at their defaults.
    Neither are the fields in `without`, which keep their defaults.
    """
    hints = get_type_hints(shared, include_extras=True)
    flags = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(shared)
        if field.name != _GIVEN and field.name not in without
    ]
    extra: list[inspect.Parameter] = []
    if any(field.name == _GIVEN for field in fields(shared)):
        extra = [inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]

    def decorate(command: Command) -> Command:
        *own, last = inspect.signature(command, eval_str=True).parameters.values()

        def run(**values: Any) -> None:
            given = {_GIVEN: _given(values.pop(_CONTEXT))} if extra else {}
            together = shared(**{flag.name: values.pop(flag.name) for flag in flags}, **given)
            command(**values, **{last.name: together})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {}  # the signature has them; Typer resolves these with the names of this module
        run.__signature__ = inspect.Signature([*own, *flags, *extra])  # pyright: ignore[reportFunctionMemberAccess]
        return run

    return decorate


def _given(context: typer.Context) -> frozenset[str]:
    """Return the names of the parameters that were given, by a flag or by the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name != "DEFAULT")


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

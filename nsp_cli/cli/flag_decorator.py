"""The decorator `takes`: a command whose flags are the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, get_type_hints

import typer

Command = Callable[..., None]
_GIVEN, _CONTEXT = "given", "typer_context"


def takes(shared: type[Any], without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Wrap a command whose last parameter is the dataclass `shared`: the wrapper takes the fields as flags.

    Typer makes flags of the parameters in a command's signature. The wrapper's signature contains all fields, except
    two kinds that are not flags: `given`, which gets the names of the command's parameters that are not left at their
    defaults, and the fields in `without`, which keep theirs.
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

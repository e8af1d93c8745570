"""Flags that commands share as a dataclass, so that a command has one parameter for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

Command = Callable[..., None]


def takes(shared: type[Any]) -> Callable[[Command], Command]:
    """Let a command, whose last parameter is a `shared`, be called with that dataclass's fields instead.

    Typer makes flags of the parameters in a command's signature, so it is given one that has them all.
    """
    hints = get_type_hints(shared, include_extras=True)
    flags = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(shared)
    ]

    def decorate(command: Command) -> Command:
        *own, last = inspect.signature(command, eval_str=True).parameters.values()

        def run(**values: Any) -> None:
            together = shared(**{flag.name: values.pop(flag.name) for flag in flags})
            command(**values, **{last.name: together})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {}  # the signature has them; Typer resolves these with the names of this module
        run.__signature__ = inspect.Signature([*own, *flags])  # pyright: ignore[reportFunctionMemberAccess]
        return run

    return decorate

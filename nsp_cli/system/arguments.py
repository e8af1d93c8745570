"""Check values from files and flags against the annotations of the function or dataclass that takes them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache, wraps
from math import isnan
from numbers import Integral, Real
from operator import is_not
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from nsp_cli.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_LARGEST = 1e300  # of whole numbers: larger ones have no float
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "nothing"}


@dataclass(frozen=True)
class Between:
    """Bounds of a number, or of the number of entries of a tuple, as in ``Annotated[int, Between(1, 8)]``.

    Attributes
    ----------
    low, high : float
        The bounds.
    ends : str
        "[]" where both bounds are allowed values; "(" or ")" in place of a bracket excludes that bound.
    """

    low: float
    high: float
    ends: Literal["[]", "[)", "(]", "()"] = "[]"

    def holds(self, value: Any) -> bool:
        """Test whether the value, or the length of a list or tuple, is within the bounds."""
        number = len(value) if isinstance(value, list | tuple) else value
        above = number > self.low or (self.ends[0] == "[" and number == self.low)
        return above and (number < self.high or (self.ends[1] == "]" and number == self.high))

    def __str__(self) -> str:
        if self.ends == "[]":
            return f"of {self.low:g}" if self.low == self.high else f"from {self.low:g} to {self.high:g}"
        low = "of at least" if self.ends[0] == "[" else "above"
        high = "at most" if self.ends[1] == "]" else "less than"
        return f"{low} {f'{self.low:g}' if self.low else 'zero'} and {high} {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """The values that a text may have, as in ``Annotated[str, OneOf(("auto", "cpu"))]``."""

    values: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Test whether the value is one of the allowed ones."""
        return value in self.values

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


class ArgumentError(ValueError):
    """An argument has another type or is out of bounds.

    Attributes
    ----------
    name : str
        Name of the argument.
    reason : str
        The expected value and the one that was given.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


def check_fields(instance: Any) -> None:
    """Check the fields of a dataclass by their annotations, as in its `__post_init__`. Raises `ArgumentError`.

    Numbers of other libraries become Python's, see `with_plain_numbers`.
    """
    values = {field.name: getattr(instance, field.name) for field in fields(instance)}
    check_arguments(type(instance), values)
    for name, value in values.items():
        if (plain := with_plain_numbers(value)) is not value:
            object.__setattr__(instance, name, plain)


def check_arguments(target: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Check keyword arguments by the annotations of a function, a class or a dataclass, without calling it.

    Types are those of JSON: a list may stand for a tuple, an object for a mapping, and a whole number for any number.
    Numbers may be those of other libraries, such as NumPy's. NaN is refused. What is annotated otherwise, such as
    with `Any`, is not checked.

    Raises
    ------
    ValueError
        A name is not known or is missing, or a value does not fit (`ArgumentError`); the message names it.
    """
    parameters = _parameters(target)
    for name in values:
        if name not in parameters:
            raise ValueError(f"there is no '{name}', only {', '.join(parameters) or 'nothing'}")
    for name, (hint, needed) in parameters.items():
        if name in values:
            check_value(name, values[name], hint)
        elif needed:
            raise ValueError(f"'{name}' is missing")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function so that arguments that do not fit its annotations raise `UsageError`.

    The function gets Python's numbers, see `with_plain_numbers`.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        try:
            check_arguments(function, bound.arguments)
        except ValueError as error:
            raise UsageError(f"{function.__name__}: {error}.") from error
        bound.arguments.update({name: with_plain_numbers(value) for name, value in bound.arguments.items()})
        return function(*bound.args, **bound.kwargs)

    return run


def with_plain_numbers(value: Any) -> Any:
    """Convert a number such as NumPy's scalars to int or float, by itself or in lists, tuples and mappings.

    JSON has no others. All other values, and containers without such numbers, are returned as they are.
    """
    if isinstance(value, int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        entries = {key: with_plain_numbers(entry) for key, entry in value.items()}
        return entries if any(entries[key] is not entry for key, entry in value.items()) else value
    if isinstance(value, list | tuple):
        parts = [with_plain_numbers(part) for part in value]
        changed = any(map(is_not, parts, value))
        return (tuple(parts) if isinstance(value, tuple) else parts) if changed else value
    return value


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raise `ArgumentError` where a value does not fit an annotation; `name` is for the message."""
    if not _fits(value, hint):
        shown = repr(str(value) if isinstance(value, StrEnum) else value)
        raise ArgumentError(name, f"must be {_describe(hint)}, got {shown if len(shown) <= 60 else shown[:60] + '…'}")


def hint_of(target: Callable[..., Any], name: str) -> Any:
    """Return the annotation of a parameter, its bounds included."""
    return _parameters(target)[name][0]


@cache
def _parameters(target: Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """Return annotation and whether there is no default, by the parameter's name."""
    annotated: Any = target.__init__ if isinstance(target, type) and not is_dataclass(target) else target
    if not isinstance(annotated, type):  # what a function returns may be imported for type checkers alone
        function = inspect.unwrap(annotated)
        names = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
        hints = get_type_hints(types.SimpleNamespace(__annotations__=names), function.__globals__, include_extras=True)
    else:
        hints = get_type_hints(annotated, include_extras=True)
    return {
        name: (hints.get(name, Any), parameter.default is parameter.empty)
        for name, parameter in inspect.signature(target).parameters.items()
    }


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value fits an annotation, bounds included."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _fits(value, parts[0]) and all(bounds.holds(value) for bounds in _bounds(parts))
    if kind in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is tuple:
        return _fits_tuple(value, parts)
    if kind is Literal:
        return value in parts
    return _has_type(value, kind or hint)  # of Mapping[str, Any], the entries are checked where they are used


def _has_type(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        if isinstance(value, bool):
            return False
        if isinstance(value, Integral):
            return abs(int(value)) < _LARGEST
        return kind is float and isinstance(value, Real) and not isnan(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return value in list(kind)
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def _fits_tuple(value: Any, parts: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if len(parts) == 2 and parts[1] is Ellipsis:
        return all(_fits(entry, parts[0]) for entry in value)
    return len(value) == len(parts) and all(map(_fits, value, parts))


def _bounds(parts: tuple[Any, ...]) -> list[Between | OneOf]:
    return [part for part in parts[1:] if isinstance(part, Between | OneOf)]


def _describe(hint: Any) -> str:
    """Describe the values that fit an annotation, as in "a whole number from 1 to 8"."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        bounds = [str(part) for part in _bounds(parts)]
        entries = " entries" if get_origin(parts[0]) is tuple else ""
        kind = [] if parts[0] is str and bounds else [_describe(parts[0])]
        return " ".join([*kind, *bounds]) + (entries if bounds else "")
    if kind in (Union, types.UnionType):
        return " or ".join(map(_describe, parts))
    if kind is Literal:
        return " or ".join(map(repr, parts))
    if kind is tuple:
        each = " and ".join(dict.fromkeys(_describe(part) for part in parts if part is not Ellipsis))
        return f"a list, each entry {each},"
    if isinstance(kind, type):
        return "an object"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))

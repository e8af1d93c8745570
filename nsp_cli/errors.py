"""Exceptions for errors that a user can fix.

::

    NspError                     exit code 1
    ├── UsageError               2   a flag, or flags that do not go together
    ├── InputError               1   one photo cannot be read
    │   └── NoInputError         3   not one photo was found or could be read
    ├── OutputError              1   a result cannot be written
    │   └── TargetExistsError    1   there is a file of that name already
    └── UnavailableError         4   a model, device or runtime is not available here
        ├── ModelError           4   weights: missing, damaged, or not made for this
        └── BackendError         4   a device, a runtime, a precision
            └── MemoryLimitError 4   even the smallest tile does not fit

A message is one or two sentences: what is wrong, where, and what to do next.
"""

from __future__ import annotations


class NspError(Exception):
    """Base of all errors that `nsp` raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(NspError):
    """An argument is out of its range, or two arguments exclude each other."""

    exit_code = 2


class InputError(NspError):
    """A photo cannot be read."""


class NoInputError(InputError):
    """No readable photo was found where one was expected."""

    exit_code = 3


class OutputError(NspError):
    """A result cannot be written."""


class TargetExistsError(OutputError):
    """A file of the result's name exists, perhaps since a moment ago."""


class UnavailableError(NspError):
    """A model, device or runtime that this machine does not have."""

    exit_code = 4


class ModelError(UnavailableError):
    """Weights that are missing, damaged, or not made for the task."""


class BackendError(UnavailableError):
    """A device, runtime or precision that is not available."""


class MemoryLimitError(BackendError):
    """The device has no room for the tile that it was given; the engine retries with a smaller one."""

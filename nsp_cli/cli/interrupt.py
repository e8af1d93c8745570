"""Ctrl-C in batches and in training: the first one requests a stop, the second one ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

from nsp_cli.system import atomic

STOPPED = 130
"""Exit code of a run that was interrupted."""

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stop_on_interrupt(unit: str, *, ignore_second: bool = False) -> Generator[Callable[[], bool]]:
    """Yield a function that returns True after the first SIGINT, SIGTERM or SIGHUP; the second raises an exception.

    The earlier signal handlers are restored at the end.

    Parameters
    ----------
    unit : str
        Unit of work that is finished before the run stops, for the message: "photo" or "step".
    ignore_second : bool
        Whether to ignore further signals, for processes that torchrun started: it passes on a Ctrl-C that they have
        received already, and kills them by itself where they take too long.

    Raises
    ------
    KeyboardInterrupt
        A second signal arrived, and `ignore_second` is False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received = False

    def handle(number: int, frame: object) -> None:
        nonlocal received
        if received and not ignore_second:
            raise KeyboardInterrupt
        if not received:
            # Rich may be in the middle of a line and Python's streams in the middle of a write.
            with suppress(OSError):
                os.write(2, f"\nStopping after this {unit}; press Ctrl-C again to end at once.\n".encode())
        received = True

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> NoReturn:
    """End the process without waiting for threads, and remove its temporary files."""
    atomic.abandon()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(STOPPED)

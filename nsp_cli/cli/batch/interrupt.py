"""Ctrl-C: the first one is a request to stop, the second one ends at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

from nsp_cli.system import atomic

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 130


@contextmanager
def stop_on_interrupt(*, patient: bool = False) -> Generator[Callable[[], bool]]:
    """Give a question that turns true at the first Ctrl-C (or SIGTERM); the second one raises KeyboardInterrupt.

    patient : the second one does nothing; torchrun passes a Ctrl-C on that its workers have had already, and kills them
        by itself where they take too long
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and not patient:
            raise KeyboardInterrupt
        if not asked:
            # Rich may be in the middle of a line and Python's streams in the middle of a write.
            os.write(2, b"\nStopping after the photo in hand; once more ends at once.\n")
        asked = True

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> NoReturn:
    """End without waiting for threads, and leave no temporary file."""
    atomic.abandon()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED)

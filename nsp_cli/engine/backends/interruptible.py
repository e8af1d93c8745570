"""Calls into C libraries that signals can end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def call_interruptibly(call: Callable[[], Result], cancel: Callable[[], None]) -> Result:
    """Return what a function returns, which runs in another thread while this one waits.

    Python handles signals in the main thread between two of its own instructions, so never while a C library computes
    there, which may be without end. `cancel` has to end the call; it is called where an exception, such as
    KeyboardInterrupt, ends the waiting.
    """
    with ThreadPoolExecutor(1, "nsp-run") as thread:
        result = thread.submit(call)
        try:
            return result.result()
        except BaseException:
            cancel()
            raise

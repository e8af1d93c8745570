"""Calls into C libraries that signals can end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Thread
from typing import TypeVar

Result = TypeVar("Result")

_PAUSE = 0.1
"""Seconds between two checks of the thread: on Windows, a longer wait cannot be interrupted."""

_check: ContextVar[Callable[[], None]] = ContextVar("check", default=lambda: None)


@contextmanager
def checking(check: Callable[[], None]) -> Generator[None]:
    """Call `check` many times a second while this thread waits in `call_interruptibly`; it raises to end the call."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def call_interruptibly(call: Callable[[], Result], cancel: Callable[[], None]) -> Result:
    """Return what a function returns, which runs in another thread while this one waits.

    Python handles signals in the main thread between two of its own instructions, so never while a C library computes
    there, which may be without end. Where an exception, such as KeyboardInterrupt, ends the waiting, `cancel` is called
    until the call has ended: it has no effect before the call has begun.
    """
    future: Future[Result] = Future()
    ended = Event()  # not `Thread.is_alive`, which is False after an interrupted `join` (Python 3.11)

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # raised again in the thread that waits
            future.set_exception(error)
        finally:
            ended.set()

    worker = Thread(target=work, name="nsp-run")
    try:
        worker.start()  # an interrupt may come while it waits for the thread
        while not ended.wait(_PAUSE):
            _check.get()()
        return future.result()
    except BaseException:
        while not ended.wait(_PAUSE) and worker.ident is not None:
            cancel()
        raise

"""Calls that run in a thread of their own."""

import _thread
from threading import Event

import pytest

from nsp_cli.engine.backends.interruptible import call_interruptibly


def never() -> None:
    raise AssertionError("cancelled")


def test_results_and_errors_come_through() -> None:
    assert call_interruptibly(lambda: 3, never) == 3
    with pytest.raises(ZeroDivisionError):
        call_interruptibly(lambda: 1 / 0, never)


def test_it_is_cancelled_until_it_has_ended() -> None:
    begun, end, cancels = Event(), Event(), list[int]()

    def call() -> None:
        begun.set()
        _thread.interrupt_main()
        assert end.wait(60)

    def cancel() -> None:  # as that of a library which forgets the first one
        assert begun.is_set()
        cancels.append(1)
        if len(cancels) == 3:
            end.set()

    with pytest.raises(KeyboardInterrupt):
        call_interruptibly(call, cancel)
    assert len(cancels) == 3

"""What a person sees: a progress bar on a terminal, plain lines in a log, always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """Say one sentence about what went wrong."""
    err.print(f"[bold red]error:[/] {escape(sentence)}")


def warn(sentence: str) -> None:
    """Say one sentence about what a user should know."""
    err.print(f"[yellow]warning:[/] {escape(sentence)}")


@dataclass
class Reporter:
    """What a running job may call: `within` with the share of one item, `line` for something worth a line, `done`."""

    within: Callable[[float], None]
    line: Callable[[str], None]
    done: Callable[[], None]


@contextmanager
def progress(items: int, unit: str, *, quiet: bool = False) -> Generator[Reporter]:
    """Show the way through `items` pieces of work."""
    if quiet:
        yield Reporter(lambda _: None, lambda _: None, lambda: None)
    elif err.is_terminal:
        with _bar(unit) as bar:
            task = bar.add_task(unit, total=items)
            finished = 0

            def done() -> None:
                nonlocal finished
                finished += 1
                bar.update(task, completed=finished)

            yield Reporter(
                lambda share: bar.update(task, completed=finished + share),
                lambda text: bar.console.print(escape(text)),
                done,
            )
    else:
        yield Reporter(lambda _: None, lambda text: err.print(escape(text)), lambda: None)


def _bar(unit: str) -> Progress:
    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)


def rate(megapixels: float, started: float) -> str:
    """ "3.1 s, 4.2 MP/s" for work that began at `started` (time.monotonic)."""
    seconds = max(time.monotonic() - started, 1e-9)
    return f"{seconds:.1f} s, {megapixels / seconds:.2f} MP/s"

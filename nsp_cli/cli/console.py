"""What a person sees: a progress bar on a terminal, plain lines in a log, always on stderr."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

# No markup: names of files may hold square brackets. In a pipe a table is as wide as it needs to be.
_WIDE = 10_000
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
out = Console(highlight=False, soft_wrap=True, markup=False)
if not out.is_terminal:
    out.width = _WIDE


def plain(text: str) -> str:
    """Text on one line without control characters and lone surrogates, which names of files may have."""
    odd = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in odd else c for c in text)


def complain(sentence: str) -> None:
    """Say one sentence about what went wrong."""
    err.print(Text.assemble(("error:", "bold red"), " ", plain(sentence)))


def warn(sentence: str) -> None:
    """Say one sentence about what a user should know."""
    err.print(Text.assemble(("warning:", "yellow"), " ", plain(sentence)))


@dataclass
class Reporter:
    """What a running job may call: `within` with the share of one item, `line` for something worth a line, `done`.

    `status` is a few words at the end of the bar; `note` a setting that was chosen for one photo alone, by its name.
    """

    within: Callable[[float], None]
    line: Callable[[str], None]
    done: Callable[[], None]
    status: Callable[[str], None] = lambda _: None
    note: Callable[[str, object], None] = lambda _, __: None


@contextmanager
def progress(items: int, unit: str, *, quiet: bool = False) -> Generator[Reporter]:
    """Show the way through `items` pieces of work."""
    if quiet:
        yield Reporter(lambda _: None, lambda _: None, lambda: None)
    elif err.is_terminal:
        with _bar(unit) as bar:
            task = bar.add_task(unit, total=items, status="")
            finished = 0

            def done() -> None:
                nonlocal finished
                finished += 1
                bar.update(task, completed=finished)

            yield Reporter(
                lambda share: bar.update(task, completed=finished + share),
                lambda text: bar.console.print(plain(text)),
                done,
                lambda words: bar.update(task, status=words),
            )
    else:
        yield Reporter(lambda _: None, lambda text: err.print(plain(text)), lambda: None)


def _bar(unit: str) -> Progress:
    columns = (
        TextColumn(unit),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", markup=False),
    )
    return Progress(*columns, console=err, transient=True)


def rate(megapixels: float, started: float) -> str:
    """ "3.1 s, 4.2 MP/s" for work that began at `started` (time.monotonic)."""
    seconds = max(time.monotonic() - started, 1e-9)
    return f"{seconds:.1f} s, {megapixels / seconds:.2f} MP/s"

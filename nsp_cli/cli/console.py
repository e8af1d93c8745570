"""Messages: a progress bar on a terminal, plain lines in a log, always on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from nsp_cli.cli.flag_names import with_flags
from nsp_cli.errors import OutputError
from nsp_cli.system.files import sentence


class _Stderr:
    """sys.stderr, whatever it is at the moment; what it cannot take is lost, since a full log must not end a batch."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


# No markup: names of files may hold square brackets. In a pipe a table is as wide as it needs to be.
_WIDE = 10_000
err = Console(file=cast(IO[str], _Stderr()), highlight=False, soft_wrap=True, markup=False)
out = Console(highlight=False, soft_wrap=True, markup=False)
if not out.is_terminal:
    out.width = _WIDE


def print_line(text: str) -> None:
    """Print a line of results on stdout at once. Raises `OutputError`, but lets a pipe that is closed be seen."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_stdout()
        raise OutputError(f"The results on stdout cannot be written: {sentence(error)}") from error


def drop_stdout() -> None:
    """Let nothing more be written to stdout, which would fail once more when the process ends."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(text: str) -> str:
    """Escape control characters, line breaks and lone surrogates, which names of files may have."""
    odd = {"Cc", "Cs", "Zl", "Zp"}
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in odd else c for c in text)


def complain(sentence: str) -> None:
    """Print an error in one sentence."""
    err.print(Text.assemble(("error:", "bold red"), " ", plain(with_flags(sentence))))


def warn(sentence: str) -> None:
    """Print a warning in one sentence."""
    err.print(Text.assemble(("warning:", "yellow"), " ", plain(with_flags(sentence))))


@dataclass
class Reporter:
    """Callbacks of a running job: `within` with the fraction of one item, `line` for a message, `done`.

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
    if not quiet and err.is_terminal:
        with _bar(unit) as bar:
            task = bar.add_task(unit, total=items, status="")
            finished = 0

            def done() -> None:
                nonlocal finished
                finished += 1
                bar.update(task, completed=finished)

            yield Reporter(
                lambda fraction: bar.update(task, completed=finished + fraction),
                lambda text: bar.console.print(plain(text)),
                done,
                lambda words: bar.update(task, status=words),
            )
    else:
        yield line_reporter(quiet=quiet)


def line_reporter(*, quiet: bool) -> Reporter:
    """Return a reporter without a bar, and without lines where `quiet`."""
    return Reporter(lambda _: None, (lambda _: None) if quiet else (lambda text: err.print(plain(text))), lambda: None)


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
    """Format duration and throughput, such as "3.1 s, 4.2 MP/s", of work started at `started` (time.monotonic)."""
    seconds = max(time.monotonic() - started, 1e-9)
    return f"{seconds:.1f} s, {megapixels / seconds:.2f} MP/s"

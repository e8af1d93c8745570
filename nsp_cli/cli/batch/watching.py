"""`nsp watch`: photos are processed as they appear in a folder, by the rules of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.log import BatchLog
from nsp_cli.cli.batch.outcome import Outcome, Status, describe
from nsp_cli.cli.batch.photo import PhotoStep
from nsp_cli.cli.batch.runner import BatchContext, run
from nsp_cli.cli.batch.session import preview_size
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import complain, err, line_reporter
from nsp_cli.cli.interrupt import end_at_once, stop_on_interrupt
from nsp_cli.engine.options import DenoiseOptions, IfExists

_RESCAN = 10.0  # seconds; network drives send no events for what another computer writes
_POLL = 0.5  # seconds between two checks of photos that may still grow
_MANY = 100  # photos: the report's pictures are as small as those of a batch of so many

Signature = tuple[int, int]
"""Size and time of the last change of a file."""


@dataclass
class Arrivals:
    """Finds the files of a folder that are new or changed, and complete: unchanged for `settle` seconds."""

    settle: float
    _seen: dict[Path, tuple[Signature, float]] = field(default_factory=dict[Path, tuple[Signature, float]])
    _taken: dict[Path, Signature] = field(default_factory=dict[Path, Signature])

    def take(self, works: Sequence[Work], now: float) -> list[Work]:
        """Return the works whose photos are whole, each once for each change; `now` is in seconds."""
        ready: list[Work] = []
        seen: dict[Path, tuple[Signature, float]] = {}
        for work in works:
            signature = _signature(work.source)
            if signature is None or self._taken.get(work.source) == signature:
                continue
            known, since = self._seen.get(work.source, (None, now))
            if known == signature and now - since >= self.settle:
                self._taken[work.source] = signature
                ready.append(work)
            else:
                seen[work.source] = (signature, since if known == signature else now)
        self._seen = seen
        return ready

    @property
    def is_waiting(self) -> bool:
        """Return whether there are files that may still be growing."""
        return bool(self._seen)


def run_watch(
    folder: Path,
    find_works: Callable[[], list[Work]],
    step: PhotoStep,
    options: DenoiseOptions,
    batch: BatchOptions,
    *,
    settle: float,
) -> int:
    """Process the photos of `folder` and those that come, until Ctrl-C; return the exit code.

    Parameters
    ----------
    find_works : callable
        Returns all photos of the folder with their outputs, at any time.
    settle : float
        Seconds for which a file must not have changed.
    """
    arrivals = Arrivals(settle)
    log, reporter = BatchLog(describe(options), batch), line_reporter(quiet=batch.quiet)
    context = BatchContext(step, options, batch, preview_size(batch, _MANY))

    def on_outcome(outcome: Outcome) -> None:
        log.add(outcome, reporter)
        if outcome.status is Status.FAILED:
            complain(outcome.error or f"{outcome.source}: {outcome.unread} is not read")

    with stop_on_interrupt("photo") as stop, _file_events(folder, batch) as changed:
        if not batch.quiet:
            err.print(f"Watching {folder}; Ctrl-C ends.")
        try:
            while not stop():
                works = arrivals.take(find_works(), time.monotonic())
                log.expect(len(works))
                if works:
                    run(works, context, reporter, stop, on_outcome)
                _wait(changed, stop, _POLL if works or arrivals.is_waiting else _RESCAN)
        except KeyboardInterrupt:
            end_at_once()
    if not batch.quiet:
        err.print(log.counts())
    log.write_report(replace_any=options.output.if_exists is IfExists.OVERWRITE)
    return log.exit_code


@contextmanager
def _file_events(folder: Path, batch: BatchOptions) -> Generator[Event]:
    """Yield an event that is set when something changes in a folder."""
    changed = Event()

    class _Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type not in ("opened", "closed_no_write"):
                changed.set()

    observer = Observer()
    observer.schedule(_Handler(), str(folder), recursive=batch.recursive)
    observer.start()
    try:
        yield changed
    finally:
        observer.stop()
        observer.join()


def _wait(changed: Event, stop: Callable[[], bool], seconds: float) -> None:
    """Wait for a change, a signal, or the end of `seconds`."""
    end = time.monotonic() + seconds
    while not stop() and time.monotonic() < end:
        if changed.wait(min(_POLL, seconds)):
            changed.clear()
            return


def _signature(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns

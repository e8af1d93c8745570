"""Print, count and report the outcomes of a batch's photos."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status, as_json, unread_sentence
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import Reporter, complain, err, plain, print_line, rate
from nsp_cli.cli.interrupt import STOPPED
from nsp_cli.errors import OutputError
from nsp_cli.system.processes import ProcessInfo

if TYPE_CHECKING:
    from nsp_cli.cli.report.report import Report


@dataclass
class Tally:
    """Counts of a batch's outcomes."""

    photos: int
    written: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    megapixels: float = 0.0
    stopped: bool = False
    unread: Counter[str] = field(default_factory=Counter[str])

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of one photo."""
        if outcome.status is Status.FAILED and outcome.unread is not None:
            self.unread[outcome.unread] += 1
        elif outcome.status is Status.FAILED:
            self.failures.append(outcome.error or "")
        elif outcome.status is Status.SKIPPED:
            self.skipped += 1
        else:
            self.written += 1
            self.megapixels += outcome.megapixels or 0.0

    @property
    def finished(self) -> int:
        """Number of photos that are written, skipped or failed."""
        return self.written + self.skipped + self.failed

    @property
    def failed(self) -> int:
        """Number of photos that failed, those in formats that are not read included."""
        return len(self.failures) + self.unread.total()

    def problems(self) -> list[str]:
        """Return a sentence for each failure, and one for all photos in formats that are not read."""
        return [*self.failures, unread_sentence(self.unread)] if self.unread else self.failures

    def sentence(self) -> str:
        """Format the counts, such as "2998 of 3000 photos written, 2 failed"."""
        parts = [f"{self.written} of {self.photos} photos written"]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += ["stopped before the end"] if self.stopped else []
        return ", ".join(parts)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.photos + other.photos,
            self.written + other.written,
            self.skipped + other.skipped,
            self.failures + other.failures,
            self.megapixels + other.megapixels,
            self.stopped or other.stopped,
            self.unread + other.unread,
        )


class BatchLog:
    """Prints, counts and reports the outcomes of photos; it ends with `finish`, or for `nsp watch` with `write_report`.

    Attributes
    ----------
    tally
        The counts; of all processes from `finish` on.
    report : Report or None
        Collects the page of --report; None without it.
    json_failed
        Whether a line of JSON could not be printed, which makes the exit code 1.
    """

    def __init__(self, recipe: Recipe, batch: BatchOptions, photos: int = 0) -> None:
        self.tally, self.json_failed = Tally(photos), False
        self.report: Report | None = None
        self._started = time.monotonic()
        self._recipe, self._batch = recipe, batch
        if batch.report is not None:
            from nsp_cli.cli.report.report import Report

            self.report = Report(recipe)

    def expect(self, photos: int) -> None:
        """Add to the number of photos."""
        self.tally.photos += photos

    def add(self, outcome: Outcome, reporter: Reporter) -> None:
        """Print and count the outcome of one photo, and put it on the report."""
        self.tally.add(outcome)
        if outcome.status is Status.WRITTEN:
            took = f"{outcome.seconds:.1f} s, {(outcome.megapixels or 0) / max(outcome.seconds, 1e-9):.2f} MP/s"
            reporter.line(f"{outcome.source} -> {outcome.target} ({took})")
        for sentence in outcome.warnings:
            reporter.line(f"warning: {outcome.source}: {sentence}")
        if self._batch.as_json and not self.json_failed:
            self._print(outcome)
        if self.report is not None:
            self.report.add(outcome)
        failed = f", {self.tally.failed} failed" if self.tally.failed else ""
        megapixels = self.tally.megapixels / max(self.seconds, 1e-9)
        reporter.status(f"{megapixels:.2f} MP/s{failed}")
        reporter.done()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def stop(self, left: Sequence[Work]) -> None:
        """Count the batch as stopped if photos are left; the cards that an earlier report has of these stay."""
        self.tally.stopped = len(left) > 0
        if self.report is not None:
            self.report.skipped += [work.target for work in left]

    def _print(self, outcome: Outcome) -> None:
        """Print a line of JSON; where that fails, the photos are still worked on, and the batch fails at its end."""
        try:
            print_line(as_json(outcome, self._recipe))
        except OutputError as error:
            complain(str(error))
            self.json_failed = True

    def counts(self) -> str:
        """Format the counts and the rate in one line."""
        return f"{self.tally.sentence()} ({rate(self.tally.megapixels, self._started)})"

    def summarize(self) -> None:
        """Print the failures and the counts at the end."""
        for failure in self.tally.problems():
            complain(failure)
        if not self._batch.quiet and (self.tally.photos > 1 or self.tally.stopped):
            err.print(self.counts())
            if self.tally.skipped and not self.tally.written:
                err.print("Their results exist; --if-exists overwrite or rename processes them again.")

    def finish(self, process: ProcessInfo, *, replace_any: bool) -> int:
        """Add up the outcomes of all processes, print the summary, write the report and return the exit code."""
        if not self.tally.stopped:  # else another process may have ended already
            self.tally = sum(process.gather(self.tally), Tally(0))
            if self.report is not None:
                self.report.merge(process.gather((self.report.cards, self.report.skipped)))
        if process.is_main_process or self.tally.stopped:
            self.summarize()
        if process.is_main_process:
            page = self.write_report(replace_any=replace_any)
            if page is not None and not self._batch.quiet:
                err.print(f"Report: {plain(str(page))}")
        return self.exit_code

    def write_report(self, *, replace_any: bool) -> Path | None:
        """Write the page of --report and return its path; None without one."""
        if self.report is None or self._batch.report is None:
            return None
        return self.report.write(self._batch.report, self.tally, self.seconds, replace_any=replace_any)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 1 where a photo failed or a line of JSON was lost, else 0."""
        return STOPPED if self.tally.stopped else int(self.tally.failed > 0 or self.json_failed)

"""A whole command: the batch under a progress bar, with JSON lines, a report, Ctrl-C, and an exit code at its end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nsp_cli.cli.batch import estimate, photo
from nsp_cli.cli.batch.filter import Batching
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status, Tally, as_json, unread_sentence
from nsp_cli.cli.batch.photo import Change, Work, Writing
from nsp_cli.cli.batch.runner import Job, run
from nsp_cli.cli.batch.team import Team, join
from nsp_cli.cli.console import Reporter, complain, err, progress, rate, warn
from nsp_cli.cli.interrupt import STOPPED, end_at_once, stop_on_interrupt
from nsp_cli.cli.report.previews import Size
from nsp_cli.cli.report.report import Report, is_report
from nsp_cli.engine.backends.base import Backend
from nsp_cli.errors import NspError, UsageError

_SILENT = Reporter(lambda _: None, lambda _: None, lambda: None)


def check(batching: Batching, *, piped: bool, replace_any: bool = False) -> None:
    """Validate the options of a batch before the model is loaded.

    Parameters
    ----------
    piped
        Whether the photo comes from stdin.
    replace_any
        Allow --report to replace a file that is not a report of ours.

    Raises
    ------
    UsageError
        --report cannot be written, or would replace another file.
    """
    page = batching.report
    if page is None:
        return
    if piped:
        raise UsageError("A pipe has no --report; name a file or a folder instead of -.")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report must end in .html, got {page}.")
    if not page.absolute().parent.is_dir() or page.is_dir():
        raise UsageError(f"--report must be a file in a folder that exists, got {page}.")
    if page.exists() and not replace_any and not is_report(page):
        raise UsageError(
            f"{page} exists and is not a report of nsp; choose another name, or add --if-exists overwrite."
        )


def show_plan(works: Sequence[Work], backend: Backend, writing: Writing, recipe: Recipe, batching: Batching) -> int:
    """Print what would be written (`--dry-run`), and return the exit code: 1 if a photo would fail."""
    plans = [estimate.foresee(work, writing) for work in works]
    for planned in plans:
        if batching.as_json:
            print(as_json(planned, recipe), flush=True)
        else:
            estimate.show(planned)
    if not batching.quiet and works:
        err.print(estimate.sentence(plans, backend, recipe))
    unread = Counter(planned.unread for planned in plans if planned.unread)
    if unread:
        complain(unread_sentence(unread))
    return int(any(planned.status is Status.FAILED for planned in plans))


def run_pipe(change: Change, writing: Writing, recipe: Recipe, batching: Batching) -> None:
    """One photo from stdin to stdout; its JSON goes to stderr, since stdout is the picture."""
    started = time.monotonic()
    notes: dict[str, object] = {}
    reporter = replace(_SILENT, note=notes.__setitem__)
    outcome = Outcome(Path("-"), Path("-"), Status.WRITTEN, notes=notes)
    try:
        frame, warnings = photo.run_pipe(lambda frame: change(frame, reporter), writing)
    except NspError as error:
        if batching.as_json:
            failed = replace(outcome, target=None, status=Status.FAILED, error=str(error))
            print(as_json(failed, recipe), file=sys.stderr)
        raise
    for sentence in warnings:
        if not batching.as_json:
            warn(sentence)
    if batching.as_json:
        done = replace(outcome, megapixels=frame.megapixels, warnings=warnings)
        print(as_json(done.with_seconds(time.monotonic() - started), recipe), file=sys.stderr)


def run_batch(works: Sequence[Work], change: Change, writing: Writing, recipe: Recipe, batching: Batching) -> int:
    """Work on all photos, go on past bad ones, list the failures, and return the exit code."""
    with join() as team, stop_on_interrupt("photo", ignore_second=team.world > 1) as stop:
        share = team.share(works)
        size = None if batching.report is None else Size.for_photos(len(works))
        job = Job(change, writing, batching.jobs, size, batching.verbose)
        watch = _Watch(recipe, batching, Tally(len(share)))
        try:
            with progress(len(share), "photos", quiet=batching.quiet) as reporter:
                watch.reporter = reporter
                finished = run(share, job, reporter, stop, watch.settled)
                watch.tally.stopped = not finished and watch.tally.settled < len(share)
        except KeyboardInterrupt:
            watch.say(watch.tally)
            end_at_once()
        return _finish(watch, team, batching)


class _Watch:
    """Tells everyone who wants to know what became of a photo."""

    def __init__(self, recipe: Recipe, batching: Batching, tally: Tally) -> None:
        self.started = time.monotonic()
        self.tally, self.reporter = tally, _SILENT
        self.report = None if batching.report is None else Report(recipe)
        self._recipe, self._batching = recipe, batching

    def settled(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        if outcome.status is Status.WRITTEN:
            took = f"{outcome.seconds:.1f} s, {(outcome.megapixels or 0) / max(outcome.seconds, 1e-9):.2f} MP/s"
            self.reporter.line(f"{outcome.source} -> {outcome.target} ({took})")
        for sentence in outcome.warnings:
            self.reporter.line(f"warning: {outcome.source}: {sentence}")
        if self._batching.as_json:
            print(as_json(outcome, self._recipe), flush=True)
        if self.report is not None:
            self.report.add(outcome)
        failed = f", {self.tally.failed} failed" if self.tally.failed else ""
        megapixels = self.tally.megapixels / max(time.monotonic() - self.started, 1e-9)
        self.reporter.status(f"{megapixels:.2f} MP/s{failed}")
        self.reporter.done()

    def say(self, tally: Tally) -> None:
        for failure in tally.problems():
            complain(failure)
        if not self._batching.quiet and (tally.photos > 1 or tally.stopped):
            err.print(f"{tally.sentence()} ({rate(tally.megapixels, self.started)})")


def _finish(watch: _Watch, team: Team, batching: Batching) -> int:
    tally = watch.tally
    report = watch.report
    if not tally.stopped:  # else a fellow may be gone already
        tally = sum(team.gather(tally), Tally(0))
        if report is not None:
            report.cards = [card for cards in team.gather(report.cards) for card in cards]
    if team.leads or tally.stopped:
        watch.say(tally)
        if report is not None and batching.report is not None and team.leads:
            report.write(batching.report, tally, time.monotonic() - watch.started)
            if not batching.quiet:
                err.print(f"Report: {batching.report}")
    return STOPPED if tally.stopped else int(tally.failed > 0)

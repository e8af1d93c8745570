"""A whole command: the batch under a progress bar, with JSON lines, a report, Ctrl-C, and an exit code at its end."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nsp_cli.cli.batch import estimate
from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.log import BatchLog
from nsp_cli.cli.batch.outcome import Outcome, Status, as_json, describe, unread_sentence
from nsp_cli.cli.batch.photo import PhotoStep, can_be_written, pipe_photo
from nsp_cli.cli.batch.profiles import Profiles
from nsp_cli.cli.batch.runner import BatchContext, run
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import Reporter, complain, err, print_line, progress, warn
from nsp_cli.cli.flag_names import with_flags
from nsp_cli.cli.interrupt import end_at_once, stop_on_interrupt
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.options import DenoiseOptions, IfExists, ModelOptions, OutputOptions
from nsp_cli.errors import NspError, UsageError
from nsp_cli.system.atomic import check_place, drive_of
from nsp_cli.system.files import exists, is_folder, size_of
from nsp_cli.system.processes import process_group

if TYPE_CHECKING:
    from nsp_cli.cli.report.previews import Size

_SILENT = Reporter(lambda _: None, lambda _: None, lambda: None)


def check_report(
    batch: BatchOptions, works: Sequence[Work], *, piped: bool = False, if_exists: IfExists | None = None
) -> None:
    """Validate --report before the model is loaded.

    Parameters
    ----------
    works : sequence of Work
        The photos, none of which the report may replace.
    piped : bool
        Whether the photo comes from stdin.
    if_exists : IfExists, optional
        How a file is treated that --report names and that is not a report: it is replaced, the page gets another name,
        or it is an error.

    Raises
    ------
    UsageError
        --report cannot be written, or would replace another file.
    """
    page = batch.report
    if page is None:
        return
    if piped:
        raise UsageError("A pipe has no --report; name a file or a folder instead of -.")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report must end in .html, got {page}.")
    if not is_folder(page.absolute().parent) or is_folder(page):
        raise UsageError(f"--report must be a file in a folder that exists, got {page}.")
    check_place(page)
    if exists(page) and any(exists(work.source) and page.samefile(work.source) for work in works):
        raise UsageError(f"--report {page} is a photo to be read, which nsp never writes over.")
    from nsp_cli.cli.report.report import place

    if if_exists is not IfExists.RENAME and place(page, replace_any=if_exists is IfExists.OVERWRITE) != page:
        ways = "" if page.is_symlink() else ", or add --if-exists overwrite"
        raise UsageError(f"{page} exists and is not a report of nsp; choose another name{ways}.")


def show_plan(
    works: Sequence[Work],
    opened: Callable[[ModelOptions], Backend],
    options: DenoiseOptions,
    batch: BatchOptions,
    profiles: Profiles | None = None,
) -> int:
    """Print what would be written (`--dry-run`), and return the exit code: 1 if a photo would fail."""
    recipe = describe(options)
    foreseen = [estimate.foresee(work, options, profiles) for work in works]
    plans = [planned for planned, _ in foreseen]
    if not batch.quiet:
        _warn_of_shortages(works, options.output)
    for planned in plans:
        if batch.as_json:
            print_line(as_json(planned, recipe))
        else:
            estimate.show(planned)
    if not batch.quiet and works:
        err.print(estimate.sentence(foreseen, opened, recipe))
    unread = Counter(planned.unread for planned in plans if planned.unread)
    if unread:
        complain(unread_sentence(unread))
    return int(any(planned.status is Status.FAILED for planned in plans))


def _warn_of_shortages(works: Sequence[Work], output: OutputOptions) -> None:
    """Warn of each drive with less free space than the photos take whose results are written to it."""
    needed: dict[int, tuple[Path, int]] = {}
    for work in works:
        if output.in_place or os.path.lexists(work.target) or not can_be_written(work, output):
            continue
        place, _, _ = drive_of(work.target)
        device = place.stat().st_dev
        needed[device] = place, needed.get(device, (place, 0))[1] + size_of(work.source)
    for place, size in needed.values():
        _, total, free = drive_of(place / "photo")
        if total and free < size:
            warn(
                f"The photos take {size / 1e9:.2f} GB, and the drive of {place} has {free / 1e9:.2f} GB free: "
                "their results may not fit."
            )


def run_pipe(step: PhotoStep, options: DenoiseOptions, batch: BatchOptions) -> int:
    """Process one photo from stdin to stdout, print JSON to stderr, and return the exit code."""
    started, recipe = time.monotonic(), describe(options)
    notes: dict[str, object] = {}
    reporter = replace(_SILENT, note=notes.__setitem__)
    outcome = Outcome(Path("-"), Path("-"), Status.WRITTEN, notes=notes)
    try:
        frame, warnings = pipe_photo(lambda frame: step(frame, reporter), options)
    except NspError as error:
        if batch.as_json:
            failed = replace(outcome, target=None, status=Status.FAILED, error=with_flags(str(error)))
            print(as_json(failed, recipe), file=sys.stderr)
        raise
    for sentence in warnings:
        if not batch.as_json:
            warn(sentence)
    if batch.as_json:
        seconds, sentences = time.monotonic() - started, tuple(map(with_flags, warnings))
        done = replace(outcome, seconds=seconds, megapixels=frame.megapixels, warnings=sentences)
        print(as_json(done, recipe), file=sys.stderr)
    return 0


def run_batch(
    works: Sequence[Work],
    step: PhotoStep,
    options: DenoiseOptions,
    batch: BatchOptions,
    open_model: Callable[[], object] | None = None,
) -> int:
    """Process all photos, go on past bad ones, list the failures, and return the exit code.

    `open_model` is called while the first photos are read, see `BatchContext`.
    """
    with process_group() as process, stop_on_interrupt("photo", ignore_second=not process.is_alone) as stop:
        shard = process.shard(works)
        if process.is_main_process and not batch.quiet:
            _warn_of_shortages(works, options.output)
        context = BatchContext(step, options, batch, preview_size(batch, len(works)), open_model)
        log = BatchLog(describe(options), batch, len(shard))
        try:
            with progress(len(shard), "photos", quiet=batch.quiet) as reporter:
                run(shard, context, reporter, stop, partial(log.add, reporter=reporter))
                log.stop(shard[log.tally.finished :])
        except KeyboardInterrupt:
            log.summarize()
            end_at_once()
        return log.finish(process, replace_any=options.output.if_exists is IfExists.OVERWRITE)


def preview_size(batch: BatchOptions, photos: int) -> Size | None:
    """Return the size of the report's pictures for a number of photos; None without a report."""
    if batch.report is None:
        return None
    from nsp_cli.cli.report.previews import Size

    return Size.for_photos(photos)

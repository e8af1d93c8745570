"""Process a list of photos, also after one that fails: threads read ahead and write behind while the model runs.

At most `jobs` photos wait to be processed and at most `jobs` to be written, so memory is bounded for any length of the
list. Outcomes are passed on in the order of the list.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.in_place import refuse_other_format
from nsp_cli.cli.batch.outcome import Outcome, Status
from nsp_cli.cli.batch.photo import PhotoStep, read_photo, refuse_large, should_process, write_photo
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import Reporter, err
from nsp_cli.cli.flag_names import with_flags
from nsp_cli.engine.options import DenoiseOptions
from nsp_cli.errors import InputError, MemoryLimitError, NspError, OutputError
from nsp_cli.image import WRITABLE, Frame

if TYPE_CHECKING:
    from nsp_cli.cli.report.previews import Previews, Size


@dataclass(frozen=True)
class BatchContext:
    """The step and the settings that all photos of a batch share.

    Attributes
    ----------
    step : PhotoStep
        Processes one photo, in the thread that calls `run`.
    options, batch
        Settings of the photos and of the batch.
    previews : Size or None
        Size of the report's pictures; None without a report.
    open_model : callable or None
        Called while the first photos are read. If it raises, the batch ends before a photo is processed.
    """

    step: PhotoStep
    options: DenoiseOptions
    batch: BatchOptions
    previews: Size | None = None
    open_model: Callable[[], object] | None = None


@dataclass(frozen=True)
class _Photo:
    """A photo that was read, or could not be; `frame` is None where `outcome` is final."""

    work: Work
    frame: Frame | None
    outcome: Outcome


OnOutcome = Callable[[Outcome], None]
"""Called with the outcome of a photo."""


class _Pipeline:
    """Read photos ahead and write results behind, in threads, while the main thread processes one photo."""

    def __init__(self, works: Sequence[Work], context: BatchContext, on_outcome: OnOutcome) -> None:
        self._rest: Iterator[Work] = iter(works)
        self._context, self._on_outcome = context, on_outcome
        self._readers = ThreadPoolExecutor(context.batch.jobs, "nsp-read")
        self._writers = ThreadPoolExecutor(context.batch.jobs, "nsp-write")
        self._ahead: deque[Future[_Photo]] = deque()
        self._behind: deque[Future[Outcome]] = deque()

    def read_ahead(self) -> None:
        """Start to read as many photos as there are readers."""
        for work in islice(self._rest, max(self._context.batch.jobs - len(self._ahead), 0)):
            self._ahead.append(self._readers.submit(_read, work, self._context))

    def next(self) -> _Photo | None:
        """Return the next photo as soon as it is read; None at the end."""
        self.read_ahead()
        photo = self._ahead.popleft().result() if self._ahead else None
        self.read_ahead()
        return photo

    def write_behind(self, photo: _Photo, result: Frame | None, outcome: Outcome) -> None:
        """Hand a result to the writers, or an outcome that is final already to its place in the order."""
        if result is None:
            done: Future[Outcome] = Future()
            done.set_result(outcome)
            self._behind.append(done)
        else:
            # The photo itself, which may be large, is kept for the report alone.
            before = None if self._context.previews is None else photo.frame
            self._behind.append(self._writers.submit(_write, before, result, outcome, self._context))
        self.wait_for_writes(self._context.batch.jobs)

    def wait_for_writes(self, waiting: int) -> None:
        """Pass finished outcomes on, in order, and wait until at most `waiting` writes are under way."""
        while self._behind and (self._behind[0].done() or sum(not future.done() for future in self._behind) > waiting):
            self._on_outcome(self._behind.popleft().result())

    def close(self) -> None:
        """End the threads without waiting; photos that have not been started are left out."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=False, cancel_futures=True)


def run(
    works: Sequence[Work],
    context: BatchContext,
    reporter: Reporter,
    stop: Callable[[], bool],
    on_outcome: OnOutcome,
) -> bool:
    """Process photos until the end, or until `stop` returns true; return whether the end was reached.

    Parameters
    ----------
    works : sequence of Work
        The photos with their outputs, in the order in which they are processed.
    context : BatchContext
        The step that processes a photo, and the settings.
    reporter : Reporter
        Shows the progress within a photo, and lines about it.
    stop : callable
        Called before and after waiting for each photo to be read.
    on_outcome : OnOutcome
        Called with the outcome of every photo, in their order and in this thread.

    Raises
    ------
    NspError
        An error that affects every photo, such as a missing device; it ends the batch.
    KeyboardInterrupt
        Ctrl-C was pressed. It is raised at once: writes may still be under way.
    """
    pipeline = _Pipeline(works, context, on_outcome)
    try:
        if context.open_model is not None:
            pipeline.read_ahead()
            context.open_model()
        finished = _process_all(pipeline, context, reporter, stop)
        pipeline.wait_for_writes(0)
    except NspError:
        pipeline.wait_for_writes(0)
        raise
    finally:
        pipeline.close()
    return finished


def _process_all(pipeline: _Pipeline, context: BatchContext, reporter: Reporter, stop: Callable[[], bool]) -> bool:
    """Process photo by photo; return whether the end was reached before `stop` returned true."""
    while not stop():
        photo = pipeline.next()
        if photo is None:
            return True
        if stop():
            break
        result, outcome = _process(photo, context, reporter)
        pipeline.write_behind(photo, result, outcome)
    return False


def _read(work: Work, context: BatchContext) -> _Photo:
    """Read a photo, or return the outcome of one that is skipped or cannot be read."""
    started = time.monotonic()
    outcome = Outcome(work.source, work.target, Status.PLANNED, unread=work.unread)
    try:
        if not should_process(work, context.options.output):
            return _Photo(work, None, replace(outcome, status=Status.SKIPPED))
        format = WRITABLE[work.target.suffix.lower()]
        frame = read_photo(work.source, format, context.options.raw)
        refuse_large(frame.size, format, context.options)
        if context.options.output.in_place:
            refuse_other_format(frame.container, work.source)
    except Exception as error:
        return _Photo(work, None, _failed(outcome, error, context))
    seconds = time.monotonic() - started
    return _Photo(work, frame, replace(outcome, seconds=seconds, megapixels=frame.megapixels))


def _process(photo: _Photo, context: BatchContext, reporter: Reporter) -> tuple[Frame | None, Outcome]:
    """Process a photo in this thread; return the result, None where it failed, and the outcome so far."""
    if photo.frame is None:
        return None, photo.outcome
    started = time.monotonic()
    notes: dict[str, object] = {}
    try:
        result = context.step(photo.frame, _reporter_for(photo, reporter, notes))
    except Exception as error:
        return None, _failed(photo.outcome, error, context)
    seconds = photo.outcome.seconds + time.monotonic() - started
    return result, replace(photo.outcome, notes=notes, seconds=seconds)


def _reporter_for(photo: _Photo, reporter: Reporter, notes: dict[str, object]) -> Reporter:
    """Return a reporter whose lines name the photo, since lines about others come between."""
    return replace(reporter, line=lambda text: reporter.line(f"{photo.work.source}: {text}"), note=notes.__setitem__)


def _write(before: Frame | None, result: Frame, outcome: Outcome, context: BatchContext) -> Outcome:
    """Write a result and return the photo's outcome, with previews of it and `before` for a report."""
    started = time.monotonic()
    assert outcome.target is not None
    try:
        target, warnings = write_photo(result, outcome.source, outcome.target, context.options.output)
        seconds = outcome.seconds + time.monotonic() - started
        if target is None:
            return replace(outcome, status=Status.SKIPPED)
        previews = _previews(before, result, context)
    except Exception as error:
        return _failed(outcome, error, context)
    sentences = tuple(map(with_flags, dict.fromkeys((*result.warnings, *warnings))))
    return replace(
        outcome, target=target, status=Status.WRITTEN, seconds=seconds, warnings=sentences, previews=previews
    )


def _previews(before: Frame | None, after: Frame, context: BatchContext) -> Previews | None:
    """Make the report's small pictures; None where that fails, since the photo itself is written."""
    if context.previews is None or before is None:
        return None
    from nsp_cli.cli.report.previews import take_previews

    try:
        return take_previews(before, after, context.previews)
    except Exception:
        if context.batch.verbose:
            err.print(traceback.format_exc())
        return None


def _failed(outcome: Outcome, error: Exception, context: BatchContext) -> Outcome:
    """Return the outcome of a photo that failed, or raise what is wrong for every photo."""
    if context.batch.verbose:
        err.print("".join(traceback.format_exception(error)))
    if isinstance(error, InputError | OutputError | MemoryLimitError):
        sentence = str(error)
        if str(outcome.source) not in sentence and str(outcome.target) not in sentence:
            sentence = f"{outcome.source}: {sentence}"
    elif isinstance(error, NspError):
        raise error
    elif isinstance(error, MemoryError):
        sentence = f"{outcome.source}: there is not enough memory for this photo"
    else:
        sentence = f"{outcome.source}: internal error, {type(error).__name__}: {error}"
    return replace(outcome, status=Status.FAILED, error=" ".join(with_flags(sentence).split()), target=None)

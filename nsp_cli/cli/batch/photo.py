"""What all photos of a command have in common, and the way of one photo: read, checked, written."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nsp_cli.cli.batch.plan import Work, plan
from nsp_cli.cli.console import Reporter
from nsp_cli.cli.options import IfExists
from nsp_cli.errors import InputError, OutputError, TargetExistsError, UsageError
from nsp_cli.image import WRITABLE, Develop, Frame, encode, read, write

__all__ = ["PIPE", "Change", "Work", "Writing", "plan", "run_pipe"]

PIPE = "-"

Change = Callable[[Frame, Reporter], Frame]


@dataclass(frozen=True)
class Writing:
    """How RAW photos are developed, and how results are written."""

    quality: int = 95
    format: str | None = None
    keep_metadata: bool = True
    if_exists: IfExists = IfExists.FAIL
    develop: Develop | None = None

    def read(self, source: Path | bytes, target: Path) -> Frame:
        """Read a photo as its result needs it: for a DNG, in the camera's own colours. Raises `InputError`."""
        if WRITABLE.get(target.suffix.lower()) != "dng":
            return read(source, self.develop)
        frame = read(source, self._linear())
        if frame.linear_raw is None:
            name = "the input" if isinstance(source, bytes) else source
            raise InputError(
                f"{name}: expected a RAW photo for a DNG, found {frame.container.upper()}; use another format"
            )
        return frame

    def _linear(self) -> Develop:
        return replace(self.develop or Develop(), linear=True)

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality must be between 1 and 100, got {self.quality}.")
        if self.format == "dng":
            self._linear()  # raises for settings that a DNG leaves open


def run_pipe(change: Callable[[Frame], Frame], writing: Writing) -> tuple[Frame, tuple[str, ...]]:
    """One photo from stdin to stdout, in the format it came in (RAW as TIFF); gives what was read, and warnings."""
    frame = writing.read(sys.stdin.buffer.read(), Path(f"{PIPE}.{writing.format}"))
    result = change(frame)
    format = writing.format or ("tiff" if result.container == "raw" else result.container)
    data, warnings = encode(result, format, quality=writing.quality, keep_metadata=writing.keep_metadata)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return frame, unique((*result.warnings, *warnings))


def is_wanted(work: Work, if_exists: IfExists) -> bool:
    """Whether the photo is to be worked on, as far as can be said before; False to skip it. Raises `OutputError`."""
    target = work.target
    if target.suffix.lower() not in WRITABLE:
        raise OutputError(f"{target} has a suffix that nsp cannot write; it writes {', '.join(sorted(WRITABLE))}.")
    with file_errors(target):
        there = os.path.lexists(target)
        if target.exists() and work.source.exists() and target.samefile(work.source):
            raise OutputError(f"{target} is the photo itself; nsp never writes over its input.")
    if there and if_exists is IfExists.FAIL:
        raise OutputError(f"{target} exists already; use --if-exists overwrite, rename or skip.")
    return not (there and if_exists is IfExists.SKIP)


def put(frame: Frame, target: Path, writing: Writing) -> tuple[Path | None, tuple[str, ...]]:
    """Write a result, and say where (None: skipped, since a file has appeared meanwhile) and what was lost.

    Raises `OutputError`.
    """
    with file_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    for name in _names(target) if writing.if_exists is IfExists.RENAME else (target,):
        if writing.if_exists is IfExists.RENAME and os.path.lexists(name):
            continue
        try:
            warnings = write(
                frame,
                name,
                quality=writing.quality,
                keep_metadata=writing.keep_metadata,
                overwrite=writing.if_exists is IfExists.OVERWRITE,
            )
            return name, warnings
        except TargetExistsError:
            if writing.if_exists is IfExists.RENAME:
                continue
            if writing.if_exists is IfExists.SKIP:
                break
            raise
    return None, ()


@contextlib.contextmanager
def file_errors(path: Path) -> Generator[None]:
    """Turn what the file system says into one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutputError(f"{path}: expected a place that can be written to, found: {found}") from error


def _names(target: Path) -> Iterator[Path]:
    yield target
    for number in itertools.count(2):
        yield target.with_name(f"{target.stem}_{number}{target.suffix}")


def unique(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))

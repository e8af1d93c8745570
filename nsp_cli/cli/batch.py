"""From what was typed to a list of (photo, output), and through that list past every bad file."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsp_cli.cli.console import Reporter, complain, err, progress, rate, warn
from nsp_cli.cli.options import IfExists
from nsp_cli.errors import InputError, MemoryLimitError, NoInputError, NspError, OutputError, UsageError
from nsp_cli.image import SUFFIXES, WRITABLE, Develop, Frame, encode, is_photo, output_suffix, read, write

PIPE = "-"


@dataclass(frozen=True)
class Work:
    """One photo and where its result goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Writing:
    """How RAW photos are developed, and how results are written."""

    quality: int = 95
    format: str | None = None
    keep_metadata: bool = True
    if_exists: IfExists = IfExists.FAIL
    develop: Develop | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality must be between 1 and 100, got {self.quality}.")


def plan(paths: Sequence[str], *, recursive: bool, format: str | None) -> tuple[list[Work], bool]:
    """Pair every photo with its output; also say whether this is a batch (and not one file).

    One path: the result goes beside it. Two: IN OUT. More: the last one is OUT if it is a folder, or is written with a
    slash at its end; else all are photos.

    Raises
    ------
    UsageError : a folder without a folder to write to, an unknown format; NoInputError : nothing to read
    """
    if format is not None and f".{format}" not in WRITABLE:
        raise UsageError(f"--format must be one of {', '.join(sorted({*WRITABLE.values()}))}, got '{format}'.")
    *sources, last = paths
    is_folder = last.endswith(("/", os.sep)) or Path(last).is_dir()
    if not sources or (len(sources) > 1 and not is_folder):
        sources, out = list(paths), None
    else:
        out = Path(last)
    works: list[Work] = []
    for source in map(Path, sources):
        if source.is_dir():
            works += _folder(source, out, recursive, format)
        elif source.exists():
            works.append(
                Work(source, _beside(source, format) if out is None else _into(source, out, is_folder, format))
            )
        else:
            raise NoInputError(f"There is no photo and no folder {source}.")
    _refuse_clashes(works)
    return works, len(works) > 1 or any(Path(s).is_dir() for s in sources)


def _folder(source: Path, out: Path | None, recursive: bool, format: str | None) -> list[Work]:
    if out is None or out.is_file():
        raise UsageError(f"{source} is a folder: say which folder to write to, as in `nsp denoise {source} denoised/`.")
    found = sorted(path for path in (source.rglob("*") if recursive else source.iterdir()) if is_photo(path))
    inside, results = source.resolve(), out.resolve()
    if inside == results:
        raise UsageError(f"{out} is the folder that is read; nsp never writes over its input.")
    # A second run must not take the first run's results, where they lie inside the folder, for photos.
    nested = inside in results.parents
    photos = [path for path in found if path.is_file() and not (nested and results in path.resolve().parents)]
    if not photos:
        raise NoInputError(f"{source} holds no photo{'' if recursive else '; -r looks into its sub-folders'}.")
    return [Work(path, _renamed(out / path.relative_to(source), "", format)) for path in photos]


def _beside(source: Path, format: str | None) -> Path:
    return _renamed(source, "_nsp", format)


def _into(source: Path, out: Path, is_folder: bool, format: str | None) -> Path:
    return _renamed(out / source.name, "", format) if is_folder else out


def _renamed(path: Path, mark: str, format: str | None) -> Path:
    suffix = output_suffix(path.suffix) if format is None else f".{format}"
    return path.with_name(f"{path.stem}{mark}{suffix}")


def _refuse_clashes(works: Sequence[Work]) -> None:
    seen: dict[Path, Path] = {}
    for work in works:
        if work.target in seen:
            raise UsageError(f"{seen[work.target]} and {work.source} would both be written to {work.target}.")
        seen[work.target] = work.source


def run_pipe(change: Callable[[Frame], Frame], writing: Writing) -> None:
    """One photo from stdin to stdout, in the format that it came in; a RAW photo as TIFF."""
    result = change(read(sys.stdin.buffer.read(), writing.develop))
    format = writing.format or ("tiff" if result.container == "raw" else result.container)
    data, warnings = encode(result, format, quality=writing.quality, keep_metadata=writing.keep_metadata)
    for sentence in _unique((*result.warnings, *warnings)):
        warn(sentence)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def run(
    works: Sequence[Work],
    change: Callable[[Frame, Reporter], Frame],
    writing: Writing,
    *,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Process all photos, go on past bad ones, list the failures, and return how many there were."""
    failures: list[str] = []
    started, megapixels, skipped = time.monotonic(), 0.0, 0
    with progress(len(works), "photos", quiet=quiet) as reporter:
        for work in works:
            try:
                target = _free_target(work, writing.if_exists)
                if target is None:
                    skipped += 1
                else:
                    megapixels += _one(work.source, target, change, writing, reporter)
            except (InputError, OutputError, MemoryLimitError) as error:
                failures.append(str(error))
            except NspError:  # a wrong flag or a missing device is wrong for every photo
                raise
            except Exception as error:  # one photo's surprise must not end a night's batch
                failures.append(f"{work.source}: internal error, {type(error).__name__}: {error}")
                if verbose:
                    err.print(traceback.format_exc(), markup=False)
            reporter.done()
    for failure in failures:
        complain(failure)
    if not quiet and len(works) > 1:
        kept = f", {skipped} skipped" if skipped else ""
        wrong = f", {len(failures)} failed" if failures else ""
        done = len(works) - skipped - len(failures)
        err.print(f"{done} of {len(works)} photos written{kept}{wrong} ({rate(megapixels, started)})")
    return len(failures)


def _one(
    source: Path, target: Path, change: Callable[[Frame, Reporter], Frame], writing: Writing, reporter: Reporter
) -> float:
    started = time.monotonic()
    if target.suffix.lower() not in WRITABLE:
        raise OutputError(f"{target} has a suffix that nsp cannot write; it writes {', '.join(sorted(WRITABLE))}.")
    frame = read(source, writing.develop)
    result = change(frame, reporter)
    target.parent.mkdir(parents=True, exist_ok=True)
    warnings = write(
        result,
        target,
        quality=writing.quality,
        keep_metadata=writing.keep_metadata,
        overwrite=writing.if_exists is IfExists.OVERWRITE,
    )
    reporter.line(f"{source} -> {target} ({rate(frame.megapixels, started)})")
    for sentence in _unique((*result.warnings, *warnings)):
        reporter.line(f"warning: {source}: {sentence}")
    return frame.megapixels


def _free_target(work: Work, if_exists: IfExists) -> Path | None:
    """Where to write, or None to skip the photo. Raises `OutputError`."""
    target = work.target
    if target.exists() and target.samefile(work.source):
        raise OutputError(f"{target} is the photo itself; nsp never writes over its input.")
    if not target.exists() or if_exists is IfExists.OVERWRITE:
        return target
    if if_exists is IfExists.SKIP:
        return None
    if if_exists is IfExists.FAIL:
        raise OutputError(f"{target} exists already; use --if-exists overwrite, rename or skip.")
    return next(
        name
        for name in (target.with_name(f"{target.stem}_{i}{target.suffix}") for i in range(2, 10**6))
        if not name.exists()
    )


def _unique(sentences: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(sentences))


def readable() -> str:
    """The suffixes that a folder is searched for, for a help text."""
    return " ".join(sorted(SUFFIXES))

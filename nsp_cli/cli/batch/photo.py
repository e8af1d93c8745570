"""Read, check, process and write one photo of a command."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nsp_cli.cli.batch.in_place import replace_photo
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import Reporter
from nsp_cli.engine.options import DenoiseOptions, IfExists, ModelOptions, OutputOptions
from nsp_cli.errors import InputError, OutputError, TargetExistsError
from nsp_cli.image import WRITABLE, Frame, RawOptions, encode, read, write
from nsp_cli.image.formats import sniff
from nsp_cli.image.writing import check_size
from nsp_cli.system.atomic import check_place, refuse_special
from nsp_cli.system.files import numbered_names, size_of

if TYPE_CHECKING:
    from nsp_cli.cli.batch.profiles import Profiles
    from nsp_cli.engine.backends.base import Backend

PIPE = "-"
_HEAD = 1 << 16
"""Bytes of stdin from which the format is detected before the rest is read."""

PhotoStep = Callable[[Frame, Reporter], Frame]
"""Processes one photo of a command."""


def read_photo(source: Path | bytes, format: str | None, raw: RawOptions) -> Frame:
    """Read a photo as its result's format needs it: for a DNG, in the camera's own colours. Raises `InputError`."""
    if format != "dng":
        return read(source, raw)
    frame = read(source, raw.as_linear())
    if frame.linear_raw is None:
        name = "the input" if isinstance(source, bytes) else source
        raise InputError(f"{name}: a DNG is made of RAW photos, not of {frame.container.upper()}; use another format")
    return frame


def pipe_photo(step: Callable[[Frame], Frame], options: DenoiseOptions) -> tuple[Frame, tuple[str, ...]]:
    """Process one photo from stdin to stdout, in its own format (RAW as TIFF); return what was read, and warnings."""
    output = options.output
    if sys.stdout is None:
        raise OutputError("stdout is closed; name an output, as in `nsp denoise - < in.png > out.png`.")
    try:
        given = sys.stdin.buffer.read(_HEAD)
        sniff(given)  # an endless stream, such as /dev/zero, is noticed by its first bytes
        given += sys.stdin.buffer.read()
    except InputError as error:
        raise InputError(f"the input: {error}") from error
    except (OSError, AttributeError) as error:  # closed, or a folder
        raise InputError("stdin cannot be read; give a photo, as in `nsp denoise - < in.png > out.png`.") from error
    frame = read_photo(given, output.format, options.raw)
    format = WRITABLE.get(f".{output.format}") or output_format(frame)
    refuse_large(frame.size, format, options)
    result = step(frame)
    data, warnings = encode(result, format, quality=output.quality, keep_metadata=output.keep_metadata)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return frame, tuple(dict.fromkeys((*result.warnings, *warnings)))


def output_format(result: Frame) -> str:
    """Return the format of a result whose format is not given: the photo's own, or one that holds its depth."""
    if result.container in WRITABLE.values():
        return result.container
    return "jpeg" if result.pixels.dtype == np.uint8 else "tiff"


def refuse_large(size: tuple[int, int], format: str, options: DenoiseOptions) -> None:
    """Raise `OutputError` before a photo is processed if its result is larger than its format allows."""
    height, width = (side * (options.scale or 1) for side in size)
    try:
        check_size((height, width), format)
    except OutputError as error:
        raise OutputError(f"{error}; use -f tiff or -f png.") from error


def should_process(work: Work, output: OutputOptions) -> bool:
    """Return whether a photo is to be processed; False to skip it.

    Raises
    ------
    InputError
        The photo cannot be worked on at all.
    OutputError
        Its output cannot be written, or exists.
    """
    if work.problem is not None:
        raise InputError(work.problem)
    target, if_exists = work.target, output.if_exists
    if target.suffix.lower() not in WRITABLE:
        wrong = (
            "a suffix that nsp cannot write" if target.suffix else f"no suffix (for a folder write {target}{os.sep})"
        )
        raise OutputError(f"{target} has {wrong}; nsp writes {', '.join(sorted(WRITABLE))}.")
    with file_errors(target):
        there = os.path.lexists(target)
        if output.in_place:
            return True
        if target.exists() and work.source.exists() and target.samefile(work.source):
            raise OutputError(f"{target} is the photo itself; nsp never writes over its input.")
        if there and if_exists is not IfExists.RENAME:
            refuse_special(target)
    if there and if_exists is IfExists.FAIL:
        raise OutputError(f"{target} exists already; use --if-exists overwrite, rename or skip.")
    if there and if_exists is IfExists.SKIP:
        return False
    check_place(target, size_of(work.source))
    return True


def can_be_written(work: Work, output: OutputOptions) -> bool:
    """Return whether a photo is to be processed and its output could be written, as far as it can be checked before."""
    try:
        return should_process(work, output)
    except (InputError, OutputError):
        return False


def photo_step(
    opened: Callable[[ModelOptions], Backend], settings: DenoiseOptions, profiles: Profiles | None = None
) -> PhotoStep:
    """Return what a batch does with each photo: `api.denoise_frame`, with what was chosen for the photo reported."""
    from nsp_cli.api import denoise_frame
    from nsp_cli.cli.batch.stamp import add_stamp
    from nsp_cli.engine.fidelity import check_fidelity
    from nsp_cli.image.colour import conversion

    def step(frame: Frame, reporter: Reporter) -> Frame:
        chosen = settings
        if profiles is not None:
            chosen, notes = profiles.choose(frame.metadata.exif, settings)
            for name, value in notes.items():
                reporter.note(name, value)
            if notes:
                reporter.line(f"settings of {notes['profile']}")
        result, blend = denoise_frame(frame, opened(chosen.model), chosen, reporter.within)
        if chosen.output.check_fidelity:
            check_fidelity(frame.pixels, result.pixels, conversion(frame))
        measured: dict[str, object] = {}
        if blend.measured is not None:
            measured = {"strength": round(blend.strength, 1), "noise": round(blend.measured.luma, 2)}
            reporter.note("strength", measured["strength"])
            reporter.note("measured", asdict(blend.measured))
            reporter.line(blend.sentence())
        return add_stamp(result, chosen, measured) if chosen.output.stamp else result

    return step


def write_photo(frame: Frame, source: Path, target: Path, output: OutputOptions) -> tuple[Path | None, tuple[str, ...]]:
    """Write the result of `source`; return its path (None if a file of that name has appeared), and what was lost.

    Raises `OutputError`.
    """
    if output.in_place:
        return target, replace_photo(frame, target, output)
    with file_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    for name in numbered_names(target) if output.if_exists is IfExists.RENAME else (target,):
        if output.if_exists is IfExists.RENAME and os.path.lexists(name):
            continue
        try:
            warnings = write(
                frame,
                name,
                quality=output.quality,
                keep_metadata=output.keep_metadata,
                overwrite=output.if_exists is IfExists.OVERWRITE,
                attributes_of=source if output.preserve else None,
            )
            return name, warnings
        except TargetExistsError:
            if output.if_exists is IfExists.RENAME:
                continue
            if output.if_exists is IfExists.SKIP:
                break
            raise
    return None, ()


@contextlib.contextmanager
def file_errors(path: Path) -> Generator[None]:
    """Convert errors of the file system to one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutputError(f"{path} cannot be written: {found}") from error

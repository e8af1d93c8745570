"""`nsp denoise --in-place`: replace a photo by its result, for the external editors of photo programs."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from nsp_cli.cli.batch.work import Work
from nsp_cli.engine.options import OutputOptions
from nsp_cli.errors import InputError, NoInputError, OutputError, TargetExistsError, UsageError
from nsp_cli.image import RAW_SUFFIXES, WRITABLE, Frame, write
from nsp_cli.system.atomic import write_atomically


def plan_in_place(photos: Sequence[str]) -> list[Work]:
    """Return a `Work` for each photo whose output is the photo itself.

    Raises
    ------
    UsageError
        An argument is a folder, or two arguments are the same file.
    NoInputError
        None of the files can be replaced.
    """
    paths = [Path(photo) for photo in photos]
    folder = next((path for path in paths if path.is_dir()), None)
    if folder is not None:
        raise UsageError(f"--in-place takes files, and {folder} is a folder.")
    real = [os.path.realpath(path) for path in paths]
    if len(set(real)) < len(real):
        twice = next(path for path, name in zip(paths, real, strict=True) if real.count(name) > 1)
        raise UsageError(f"{twice} is named twice.")
    works = [Work(path, path, _problem(path)) for path in paths]
    if all(work.problem for work in works):
        raise NoInputError(works[0].problem or "")
    return works


def _problem(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if not os.path.lexists(path):
        return f"There is no photo {path}."
    if suffix in RAW_SUFFIXES:
        return f"{path}: a RAW file is never replaced; use --format dng or tiff without --in-place."
    if suffix not in WRITABLE:
        return f"{path}: --in-place replaces {', '.join(sorted(WRITABLE))}, got {suffix or 'no suffix'}."
    return None


def refuse_other_format(container: str, source: Path) -> None:
    """Raise `InputError` where a photo's format, by its content, is not the one that its suffix names."""
    expected = WRITABLE.get(source.suffix.lower())
    if container != expected:
        found = "a RAW file" if container == "raw" else container.upper()
        raise InputError(f"{source} is not replaced: its format is {found}, not that of its suffix")


def replace_photo(frame: Frame, target: Path, output: OutputOptions) -> tuple[str, ...]:
    """Write a result over its photo in one step, with the photo kept beside it; return what was lost.

    When the result cannot be written, the photo is unchanged and there is no second copy of it.

    Raises
    ------
    OutputError
        The copy of the photo or the result cannot be written.
    """
    kept = _keep(target) if output.backup else None
    try:
        return write(
            frame,
            target,
            quality=output.quality,
            keep_metadata=output.keep_metadata,
            overwrite=True,
            attributes_of=target if output.preserve else None,
        )
    except Exception:
        if kept is not None:
            with contextlib.suppress(OSError):
                kept.unlink()
        raise


def _keep(photo: Path) -> Path:
    """Give a photo a second name, FILE.orig, or FILE.orig2 … where that exists; the drive's copy where it has no links.

    Raises `OutputError`.
    """
    for number in itertools.count(1):
        kept = photo.with_name(f"{photo.name}.orig{'' if number == 1 else number}")
        try:
            try:
                os.link(os.path.realpath(photo), kept)
            except FileExistsError:
                continue
            except OSError:  # FAT, another drive
                write_atomically(photo.read_bytes(), kept, overwrite=False)
        except TargetExistsError:
            continue
        except OSError as error:
            raise OutputError(f"No copy of the photo can be kept as {kept}: {error.strerror}") from error
        return kept
    raise AssertionError  # the numbers have no end

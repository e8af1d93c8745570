"""One photo of a batch and its output, and the reasons for which it is not processed."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nsp_cli.errors import UsageError


@dataclass(frozen=True)
class Work:
    """One photo and its output.

    Attributes
    ----------
    problem : str or None
        Why the photo cannot be worked on at all.
    unread : str or None
        Name of the photo's format, if it is one that is not read.
    """

    source: Path
    target: Path
    problem: str | None = None
    unread: str | None = None


def with_problems(works: Sequence[Work]) -> list[Work]:
    """Give a `problem` to every photo that is no regular file, or whose output is an input or another's output.

    Raises
    ------
    UsageError
        One photo is named twice.
    """
    return _mark_clashes(_mark_inputs([_mark_device(work) for work in works]))


def _mark_device(work: Work) -> Work:
    """Mark sources that are not regular files: a pipe would block the batch, and a device may never end."""
    found = _status(work.source)
    if work.problem is None and found is not None and not stat.S_ISREG(found.st_mode):
        return replace(work, problem=f"{work.source} is a pipe or a device, not a photo; it is skipped.")
    return work


def _mark_inputs(works: Sequence[Work]) -> list[Work]:
    """Mark every photo whose output is an input, by its name or through a link."""
    inputs = {identity: work.source for work in works if (identity := _identity(work.source)) is not None}

    def checked(work: Work) -> Work:
        identity = _identity(work.target)
        if work.problem or identity not in inputs or inputs[identity] == work.source:
            return work  # its own photo: `photo.should_process` refuses that
        other = inputs[identity]
        return replace(work, problem=f"{work.source}: its output {work.target} is the input {other}; use -o FOLDER.")

    return [checked(work) for work in works]


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode, which are the same for all names of a file; None without a file."""
    found = _status(path)
    return None if found is None else (found.st_dev, found.st_ino)


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file, or of the one that a link leads to; None without a file."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _mark_clashes(works: Sequence[Work]) -> list[Work]:
    """Mark all photos that share an output. Raises `UsageError` where one photo is named twice."""
    folders = {work.target.parent for work in works}
    ignoring_case = {folder for folder in folders if _ignores_case(folder)}
    sharing: dict[str, list[Work]] = {}
    for work in works:
        if work.problem:
            continue
        name = os.path.realpath(work.target)  # outputs that exist may be links to one file
        sharing.setdefault(_folded(name) if work.target.parent in ignoring_case else name, []).append(work)
    problems: dict[Path, str] = {}
    for first, *others in sharing.values():
        for other in others:
            if other.source == first.source:
                raise UsageError(f"{other.source} is named twice.")
            names = f"{first.source} and {other.source} would both be written to {first.target}"
            sentence = f"{names}; choose by --include or --exclude, or write one of them with -o FILE."
            problems |= {first.source: sentence, other.source: sentence}
    return [replace(work, problem=work.problem or problems.get(work.source)) for work in works]


def _folded(name: str) -> str:
    """Return what is the same for names that a drive without case, such as those of macOS, takes for one."""
    return unicodedata.normalize("NFC", name.casefold())


def _ignores_case(folder: Path) -> bool:
    """Return whether the file system of a folder, which may not exist yet, treats `A` and `a` as one name."""
    for there in (folder.absolute(), *folder.absolute().parents):
        swapped = there.with_name(there.name.swapcase()) if there.name else there
        if swapped != there and there.exists():
            return swapped.exists() and swapped.samefile(there)
    return False

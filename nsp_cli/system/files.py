"""Names of files, and tests of paths that return False, and do not raise, where the system cannot follow the path."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path


def is_folder(path: Path | str) -> bool:
    """Return whether a path is a folder; False without permission to look, or for a name that cannot be."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path | str) -> bool:
    """Return whether a path is a regular file, or a link to one; False as for `is_folder`."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def exists(path: Path | str) -> bool:
    """Return whether a path leads to something; False as for `is_folder`."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def size_of(path: Path | str) -> int:
    """Return the size of a file in bytes; 0 as for `is_folder`."""
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0


def numbered_names(path: Path) -> Iterator[Path]:
    """Yield a path, and then the same with _2, _3 … at the end of its name."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}_{number}{path.suffix}")


def sentence(error: OSError) -> str:
    """Format an error of the system with the file that it is about: "out/a.png: No space left"."""
    found = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {found}." if error.filename is not None else f"{found}."

"""Options of a batch: plain data that costs nothing to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from nsp_cli.errors import UsageError

MOST_JOBS = 64
"""Largest number of threads that read: each may hold a whole photo in memory."""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Selection of photos, threads and messages; the flags of the same names describe them.

    Attributes
    ----------
    include, exclude : sequence of str
        Patterns that choose photos in folders, see `selects`.
    report : Path, optional
        The page to write that shows every photo before and after.

    Raises
    ------
    UsageError
        The number of threads is not from 1 to `MOST_JOBS`.
    """

    recursive: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    jobs: int = 2
    report: Path | None = None
    as_json: bool = False
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.jobs <= MOST_JOBS:
            raise UsageError(f"--jobs must be from 1 to {MOST_JOBS}, got {self.jobs}.")

    def selects(self, path: Path) -> bool:
        """Return whether a photo matches an `include` pattern (if there is one) and no `exclude` pattern.

        A pattern is compared, without regard to case, with the photo's name, with its path, which is relative to the
        folder, and with the names of the folders on that path: ``*.nef``, ``wedding/*.jpg``, ``previews``.
        """
        names = {path.as_posix().lower(), *(part.lower() for part in path.parts)}

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatchcase(name, pattern.lower().rstrip("/")) for pattern in patterns for name in names)

        return (not self.include or matches(self.include)) and not matches(self.exclude)

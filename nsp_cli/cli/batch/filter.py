"""How a command goes through its photos: plain data that costs nothing to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Filter:
    """Which photos of a folder are taken: those that match an `include` pattern (if there is one) and no `exclude`.

    A pattern is matched, without regard to case, with a photo's name, with its path inside the folder, and with the
    names of the folders on that path: ``*.nef``, ``wedding/*.jpg``, ``previews``.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes(self, path: Path) -> bool:
        """`path` is relative to the folder."""
        names = {path.as_posix().lower(), *(part.lower() for part in path.parts)}

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatchcase(name, pattern.lower().rstrip("/")) for pattern in patterns for name in names)

        return (not self.include or matches(self.include)) and not matches(self.exclude)


@dataclass(frozen=True)
class Batching:
    """The flags of a batch, as `options` describes them."""

    jobs: int = 2
    filter: Filter = field(default_factory=Filter)
    report: Path | None = None
    as_json: bool = False
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False

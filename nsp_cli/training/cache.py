"""A cache of arrays on the disk, of bounded size; every entry is checked when it is read."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nsp_cli.errors import OutputError
from nsp_cli.image.frame import Pixels
from nsp_cli.system.atomic import write_atomically


@dataclass(frozen=True)
class OutputCache:
    """Arrays in a folder, up to `limit` bytes in all; those that were used least recently leave first.

    Several processes may share the folder: an entry appears whole or not at all, and one that is missing or damaged is
    made again. Entries come back mapped into memory, so that a crop reads a crop's bytes from the disk.
    """

    folder: Path
    limit: int

    def get(self, key: str, shape: tuple[int, ...], dtype: np.dtype, make: Callable[[], Pixels]) -> Pixels:
        """Return the cached array of that key, shape and dtype, or compute it with `make` and cache it."""
        path = self.folder / f"{key}.npy"
        kept = _read(path, shape, dtype)
        return self._keep(make(), path) if kept is None else kept

    def _keep(self, pixels: Pixels, path: Path) -> Pixels:
        """Store pixels and return them mapped from the file, or unchanged if they cannot be stored."""
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, pixels, allow_pickle=False)
        data = buffer.getvalue()
        if len(data) > self.limit:
            return pixels
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            write_atomically(data, path, overwrite=True)
        except (OSError, OutputError) as error:  # training goes on without, only slower
            warnings.warn(f"The outputs of teachers cannot be cached: {error}", stacklevel=2)
            return pixels
        kept = _read(path, pixels.shape, pixels.dtype)
        return pixels if kept is None else kept

    def _make_room(self, size: int) -> None:
        """Remove the oldest files, unfinished ones of killed runs too, until `size` bytes more are within the limit."""
        found: list[tuple[int, int, Path]] = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # another process removed it
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(length for _, length, _ in found)
        for _, length, path in sorted(found):
            if total + size <= self.limit:
                return
            with suppress(OSError):  # Windows keeps a file that is mapped
                path.unlink()
                total -= length


def _read(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Pixels | None:
    """Memory-map the array in a file; None if the file is missing or damaged."""
    try:
        kept = np.lib.format.open_memmap(path, mode="r")
        os.utime(path)
    except (OSError, ValueError, OverflowError, EOFError):
        return None
    return kept if (kept.shape, kept.dtype) == (shape, dtype) else None

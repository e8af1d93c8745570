"""Memory that this process may still use, including the limits of containers (control groups)."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil

_PROCESS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
_FILES = {  # (limit, usage) by version, see the kernel documentation: admin-guide/cgroup-v2, cgroup-v1/memory
    2: ("memory.max", "memory.current"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's numbers for M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
_LARGE_BLOCK = 18 << 20  # bytes; the tiles of a network at full size that has two scales are a little smaller
_KEPT = 64 << 20  # bytes at the end of the heap


@cache
def return_large_blocks() -> None:
    """Have the C library of Linux give large blocks back to the system as soon as they are freed.

    glibc keeps freed blocks of up to 32 MB for later, in pieces between others: 0.24 GB with tiles of 1024². Blocks of
    tiles of 768² are kept: to get them from the system for each tile would take a twentieth of its time. The setting
    concerns the whole process. Other systems' libraries have no such setting.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)
            library.mallopt(_TRIM_THRESHOLD, _KEPT)


def available_bytes(process: Path = _PROCESS, groups: Path = _GROUPS) -> int:
    """Return the memory in bytes that can be allocated without swapping and without exceeding a container's limit.

    Parameters
    ----------
    process : Path
        The file that lists this process's control groups.
    groups : Path
        The folder that the control groups are mounted on. Systems without them have neither.
    """
    return max(0, min([int(psutil.virtual_memory().available), *_left_in_groups(process, groups)]))


def _left_in_groups(process: Path, groups: Path) -> Iterator[int]:
    """Yield limit minus usage of the process's memory control group and of each one above it that has a limit."""
    try:
        lines = process.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        version, root = (1, groups / "memory") if controllers else (2, groups)
        folder = root / name.lstrip("/")
        # Inside a container the path is often that of the host; the mounted root then is the container's own group.
        for group in dict.fromkeys((folder, *folder.parents, root)):
            if not group.is_relative_to(root):
                continue
            with contextlib.suppress(OSError, ValueError):  # no limit is the word "max"
                limit, usage = (int((group / file).read_text(encoding="ascii")) for file in _FILES[version])
                yield limit - usage

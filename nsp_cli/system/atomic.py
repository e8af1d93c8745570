"""Atomic file writes: a reader finds the whole file or none, and no other file is lost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil

from nsp_cli.errors import OutputError, TargetExistsError

_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # linux/fcntl.h, linux/fs.h
_RENAME_EXCL = 4  # macOS: sys/stdio.h

_HIDDEN = re.compile(r"\.nsp-(?P<host>[A-Za-z0-9_.]+)-(?P<process>\d{1,10})-[0-9a-f]{16}\.tmp")

_hidden_files: set[Path] = set()
_searched: set[Path] = set()
_gate = threading.Lock()


def write_atomically(
    data: bytes | memoryview, target: Path, *, overwrite: bool, attributes_of: Path | None = None
) -> None:
    """Write to a hidden file beside the target, then give it the target's name in one step.

    A file that is replaced leaves its mode, its owner and its extended attributes to the new one, where the system lets
    it. With `attributes_of`, the file gets the mode, the extended attributes and the times of that file instead.

    Raises OutputError, and leaves neither the hidden file nor a part of the target, when anything fails. Without
    `overwrite` a target that exists stays as it is, even if it appeared a moment ago; that is a TargetExistsError.
    """
    if overwrite:
        target = Path(os.path.realpath(target))  # a link goes on pointing to the picture
        refuse_special(target)
    hidden = hidden_path(target.parent)
    try:
        remove_dead(target.parent)
        _write_through(data, hidden, attributes_of or (target if overwrite and target.exists() else None))
        if attributes_of is not None:
            _copy_times(attributes_of, hidden)
        if overwrite:
            hidden.replace(target)
        else:
            _rename_to_new(hidden, target)
        _sync_folder(target.parent)
    except FileExistsError as error:
        raise TargetExistsError(f"{target} exists already; choose another name, or allow replacing it") from error
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise OutputError(f"{target} cannot be written ({len(data):,} bytes): {found}") from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
        _hidden_files.discard(hidden)


def refuse_special(target: Path) -> None:
    """Raise `OutputError` for a folder, a pipe or a device, also through a link: none is ever replaced by a file."""
    if target.exists() and not target.is_file():
        kind = "folder" if target.is_dir() else "pipe or a device"
        raise OutputError(f"{target} is a {kind}, which is never replaced; choose another output.")


def hidden_path(folder: Path) -> Path:
    """Return a new name for a temporary file of this process, which a later run may remove: see `remove_dead`."""
    return folder / f".nsp-{_host()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def remove_dead(folder: Path) -> None:
    """Remove the temporary files that processes of this host left in a folder when they were killed, once a process.

    Those of other hosts, which may share the drive, and of processes that are alive stay.
    """
    with _gate:
        if folder in _searched:
            return
        _searched.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _HIDDEN.fullmatch(entry.name)
            if found and found["host"] == _host() and not psutil.pid_exists(int(found["process"])):
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


def check_place(target: Path, size: int = 0) -> None:
    """Check, before the work, that a file could be written: its name, its folder or the nearest above, and the space.

    Raises
    ------
    OutputError
        The name cannot be, the folder cannot be written to, or the drive has less than `size` free bytes.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # raises for a name that is too long
        place, total, free = drive_of(target)
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{target} cannot be written: {found}") from error
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        reason = "is a folder without permission to write, or on a read-only drive" if place.is_dir() else "is a file"
        raise OutputError(f"{target} cannot be written: {place} {reason}")
    if total and free <= size:
        raise OutputError(f"{target} needs {max(size, 1):,} free bytes on the drive of {place}, which has {free:,}")


def drive_of(target: Path) -> tuple[Path, int, int]:
    """Return the nearest folder above a file that exists, and the total and free bytes of its drive.

    Some drives report a total of 0. Raises OSError or ValueError for a path that cannot be.
    """
    place = next(folder for folder in target.absolute().parents if os.path.lexists(folder))
    total, _, free = shutil.disk_usage(place)
    return place, total, free


@cache
def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", socket.gethostname())[:64] or "unknown"


def _copy_attributes(source: Path, target: Path) -> None:
    """Copy mode and extended attributes as far as the drive has them; what it does not have is left out."""
    with contextlib.suppress(OSError):
        status = source.stat()
        with contextlib.suppress(OSError, AttributeError):  # only an administrator may give files away
            os.chown(target, status.st_uid, status.st_gid)
        shutil.copystat(source, target)


def _copy_times(source: Path, target: Path) -> None:
    """Copy the times of access and change, where the system lets them be set."""
    with contextlib.suppress(OSError):
        status = source.stat()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def abandon() -> None:
    """Remove the hidden files of all threads and let no further one begin; for a process that ends right after."""
    _gate.acquire()  # and never release it
    for hidden in list(_hidden_files):
        with contextlib.suppress(OSError):
            hidden.unlink()


def _write_through(data: bytes | memoryview, path: Path, attributes_of: Path | None) -> None:
    """Write a new file down to the disk, with the attributes of another file if one is given."""
    with _gate:
        file = path.open("xb")
        _hidden_files.add(path)
    with file:
        if attributes_of is not None:  # before the data: what is private is never readable by others
            _copy_attributes(attributes_of, path)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_to_new(hidden: Path, target: Path) -> None:
    """Raise FileExistsError if the target exists; POSIX's rename would replace it.

    A hard link never does; FAT, exFAT and some network drives have none, but most have a rename that never replaces.
    Where a drive has neither, a file that appears between the look and the rename, which are microseconds apart, is
    lost: to reserve the name first with an empty file would leave that empty file behind when the process is killed.
    """
    for way in (os.link, _exclusive_rename()):
        try:
            way(hidden, target)
            return
        except FileExistsError:
            raise
        except OSError:
            continue
    if os.path.lexists(target):
        raise FileExistsError
    hidden.replace(target)


@cache
def _exclusive_rename() -> Callable[[Path, Path], None]:
    """Return the system's rename that fails with FileExistsError, or with another OSError if unsupported."""
    if os.name == "nt":
        return os.rename
    libc = ctypes.CDLL(None, use_errno=True)
    linux = sys.platform == "linux"
    call = getattr(libc, "renameat2" if linux else "renamex_np", None)

    def rename(source: Path, target: Path) -> None:
        if call is None:
            raise OSError
        old, new = os.fsencode(source), os.fsencode(target)
        failed = call(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_NOREPLACE) if linux else call(old, new, _RENAME_EXCL)
        if failed:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return rename


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""Put bytes under a name so that a reader finds the whole file or none, and no other file is lost."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from nsp_cli.errors import OutputError, TargetExistsError

_hidden_files: set[Path] = set()
_gate = threading.Lock()


def publish(data: bytes | memoryview, target: Path, *, overwrite: bool) -> None:
    """Write to a hidden file beside the target, then give it the target's name in one step.

    Raises OutputError, and leaves neither the hidden file nor a part of the target, when anything fails. Without
    `overwrite` a target that exists stays as it is, even if it appeared a moment ago; that is a TargetExistsError.
    """
    if overwrite:
        target = Path(os.path.realpath(target))  # a link goes on pointing to the picture
    hidden = target.with_name(f".nsp-{secrets.token_hex(8)}.tmp")
    try:
        _write_through(data, hidden)
        if overwrite:
            hidden.replace(target)
        else:
            _rename_to_new(hidden, target)
        _sync_folder(target.parent)
    except FileExistsError as error:
        raise TargetExistsError(f"{target}: expected no file of this name, found one") from error
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise OutputError(f"{target}: expected to write {len(data):,} bytes, found: {found}") from error
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink()
        _hidden_files.discard(hidden)


def abandon() -> None:
    """Remove the hidden files of all threads and let no further one begin; for a process that ends right after."""
    _gate.acquire()  # and never release it
    for hidden in list(_hidden_files):
        with contextlib.suppress(OSError):
            hidden.unlink()


def _write_through(data: bytes | memoryview, path: Path) -> None:
    with _gate:
        file = path.open("xb")
        _hidden_files.add(path)
    with file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_to_new(hidden: Path, target: Path) -> None:
    """Raise FileExistsError if the target exists. POSIX's rename would replace it, a hard link never does."""
    try:
        os.link(hidden, target)
    except FileExistsError:
        raise
    except OSError:  # FAT, exFAT and some network drives have no hard links
        if os.name == "nt":
            hidden.rename(target)  # which never replaces there
            return
        with target.open("xb"):  # reserve the name, then replace our own file
            pass
        try:
            hidden.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from nsp_cli.errors import OutputError


def atomic_write(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Write `data` to a temporary file beside `target`, flush it to the disk and rename it.

    Without `overwrite` an existing target stays as it is, even if it appears while this function runs.

    Raises
    ------
    OutputError : the target exists, or the folder is missing, not writable or full
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".nsp-", suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _apply_umask(temporary)
        if overwrite:
            temporary.replace(target)
        else:
            _link_new(temporary, target)
    except FileExistsError as error:
        raise OutputError(f"{target} exists already; use --if-exists overwrite, or another name.") from error
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _link_new(temporary: Path, target: Path) -> None:
    """Give the file its name only if nobody has it: a hard link is the one call that decides and acts at once."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links (exFAT cards): claim the name, then replace the claim
        with target.open("xb"):
            pass
        temporary.replace(target)


def _apply_umask(path: Path) -> None:
    """Temporary files are private; a photo gets the permissions that any new file gets."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)

"""Lines that C libraries write on the process's standard error, where they have no other way to report an error."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager

_STDERR = 2  # file descriptor
_lock = threading.Lock()


@contextmanager
def captured_stderr(pattern: re.Pattern[str]) -> Generator[list[str]]:
    """Collect the lines of standard error that begin with a pattern, and pass on all others.

    The list is filled at the end of the context, with what follows the pattern in each line. Lines of other threads are
    passed on at the end, too. Where standard error is closed, nothing is collected.
    """
    lines: list[str] = []
    with _lock, tempfile.TemporaryFile() as captured:
        try:
            original = os.dup(_STDERR)
        except OSError:  # closed, as in a process without a console
            yield lines
            return
        os.dup2(captured.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(original, _STDERR)
            captured.seek(0)
            for line in captured.read().splitlines(keepends=True):
                text = line.decode(errors="replace")
                if found := pattern.match(text):
                    lines.append(text[found.end() :].strip())
                else:
                    os.write(original, line)
            os.close(original)

"""Count the functions and files of the package that `nsp denoise IN OUT` passes through, and the changes of file.

python benchmarks/call_path.py [--list]

A change of file is a call whose function lies in another file than the function called before it, in the same thread:
how often a reader of the program's path has to open another file. Imports are not counted, nor are calls of a function
that was called before in the thread, as for a further tile. Properties, comprehensions and lambdas are functions, too,
and a call of a small function counts twice: there and back. So the count is at least the number of files less one for
each thread, and it falls where small helpers lie beside their callers.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import nsp_cli
from nsp_cli.cli.app import app
from nsp_cli.image import Frame, write

PACKAGE = Path(nsp_cli.__file__).parent
Call = tuple[str, str]  # (file relative to the package, function)

START = "flags to options, plan of the batch"
STAGES = {
    "can_be_written": "checks of the output",
    "open_backend": "model",
    "run_batch": "batch",
    "denoise_frame": "tiles",
    "check_fidelity": "checks and stamp of the result",
    "_Pipeline.write_behind": "batch",
    "_read": "read",
    "call_interruptibly.<locals>.work": "tiles",
    "_fill.<locals>.finish": "tiles",
    "_write": "write",
}
"""The function that a stage of the path begins with, in any thread."""


def record(arguments: list[str]) -> list[list[Call]]:
    """Run the command line and return the calls inside the package, in order, a list for each thread."""
    calls: dict[int, list[Call]] = defaultdict(list)

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name == "<module>" or not code.co_filename.startswith(str(PACKAGE)):
            return
        call = (str(Path(code.co_filename).relative_to(PACKAGE)), code.co_qualname)
        if call not in calls[threading.get_ident()][-1:]:
            calls[threading.get_ident()].append(call)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            app(arguments, standalone_mode=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(calls.values())


def first_times(calls: list[Call]) -> list[Call]:
    """Return calls without those that happened before, in the same order."""
    return list(dict.fromkeys(calls))


def changes_by_stage(threads: list[list[Call]]) -> Counter[str]:
    """Count the changes of file by the stage in which the file is opened."""
    changes = Counter[str]()
    for calls in threads:
        stage = START
        for number, (file, function) in enumerate(calls):
            stage = STAGES.get(function, stage)
            changes[stage] += number > 0 and file != calls[number - 1][0]
    return changes


def main() -> None:
    """Denoise a small photo twice, the second time recorded, and print the counts."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--list", action="store_true", help="print the path, a line for each function")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        write(Frame(pixels), folder / "in.png")
        record(["denoise", str(folder / "in.png"), str(folder / "warm.png")])
        threads = [first_times(calls) for calls in record(["denoise", str(folder / "in.png"), str(folder / "out.png")])]
    if given.list:
        for calls in threads:
            print(*(f"{file}: {function}" for file, function in calls), "", sep="\n")
    path = [call for calls in threads for call in calls]
    changes = changes_by_stage(threads)
    for stage, count in changes.items():
        print(f"{count:4d}  {stage}")
    print(f"{len(set(path))} functions, {len({file for file, _ in path})} files, {changes.total()} changes of file")


if __name__ == "__main__":
    main()

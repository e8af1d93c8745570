"""How many threads of one `nsp denoise` run or wait for a core at the same time, against the cores of the machine.

    python benchmarks/threads.py PHOTO [--flags "--precision fp32"] [--every 3]

The states of all threads of the process are sampled until it ends (Linux alone). Threads that wait for another thread
or for a file are not counted: a pool of a library costs nothing while it sleeps. The last column is the share of the
samples with more threads than cores.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from timing import print_table


def runnable(pid: int) -> int:
    """Count the threads of a process that run or could run (state R)."""
    states: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            states.append((task / "stat").read_text().rpartition(") ")[2][0])
        except OSError:  # the thread ended meanwhile
            continue
    return states.count("R")


def sample(command: list[str], seconds: float) -> Counter[int]:
    """Run a command and count the samples by their number of runnable threads. Exits where the command fails."""
    counts: Counter[int] = Counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            counts[runnable(process.pid)] += 1
            time.sleep(seconds)
    if process.returncode:
        raise SystemExit(f"The command ended with {process.returncode}: {shlex.join(command)}")
    return counts


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("photo", type=Path, metavar="PHOTO")
    flags.add_argument("--flags", default="", help="further flags of nsp denoise, in one string")
    flags.add_argument("--every", type=float, default=3, help="milliseconds between samples (%(default)s)")
    args = flags.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nsp_cli", "denoise", str(args.photo), "-o", f"{folder}/", "--quiet"]
        counts = sample(command + shlex.split(args.flags), args.every / 1000)
    total = counts.total()
    many = sum(count for threads, count in counts.items() if threads > cores)
    shares = [f"{100 * counts[threads] / total:.1f} %" for threads in range(cores + 1)]
    header = [f"{args.photo.name} {args.flags}".strip(), *map(str, range(cores + 1)), f"more than {cores}"]
    print_table(header, [["runnable threads", *shares, f"{100 * many / total:.1f} %"]])


if __name__ == "__main__":
    main()

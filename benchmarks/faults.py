"""Damaged files, killed runs, full disks and rival runs: nothing may be lost, half written, or end in a traceback.

    python benchmarks/faults.py [--only mutants kills disk rivals many] [--seed 2611] [--mutants 10000] [--kills 60]

No network runs (`--strength 0`): what is tried is everything around it. ImageMagick's `identify`, where it is
installed, judges what is written, and not our own readers alone. Linux; a full disk is a small tmpfs where mounting is
allowed, and always a limit on the size of files. The exit code is 1 where a line of the table has faults.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from timing import print_table

from nsp_cli.image import Frame, formats, write

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fuzz import LONGEST, mutants, originals, trouble

_HUNG = 6 * LONGEST  # seconds of one mutant
_SPREAD = 1.5  # seconds: about as long as a batch of `try_kills` writes
_CHUNK = 400  # files in one call of a judge
_MOST_PIXELS = 50_000_000  # of a mutant: a header that says a gigapixel is honest work, but slow

Row = tuple[str, int, str]
"""(what was tried, faults, figures)"""


def nsp(*arguments: str | Path, within: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start `nsp denoise` without a network; `within` is a command that starts it."""
    command = [*within, sys.executable, "-m", "nsp_cli", "denoise", *map(str, arguments)]
    command += ["--strength", "0", "--no-stamp", "--json"]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, list[dict[str, str]]]:
    """(exit code, stderr, JSON lines) of a run that has ended."""
    out, errors = process.communicate(timeout=600)
    return process.returncode, errors, [json.loads(line) for line in out.splitlines()]


def photos(folder: Path, count: int, side: int, seed: int, suffix: str = ".png") -> Path:
    """Noise, which no format makes small, so that writing takes its time."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        write(Frame(rng.integers(0, 256, (side, side, 3), np.uint8)), folder / f"{number:04}{suffix}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_over(folder: Path) -> int:
    """Number of files in a folder of results that are none."""
    return sum(path.suffix not in formats.WRITABLE or path.name.startswith(".") for path in folder.iterdir())


def try_mutants(count: int, seed: int, work: Path) -> list[Row]:
    """Damaged files of all formats, in a process of their own that may hang or crash."""
    kept = work / "kept"
    kept.mkdir()
    files = [sample for part in originals() for sample in part]
    found: Counter[str] = Counter()
    pool = None
    for number, (name, data) in enumerate(mutants(files, count, seed)):
        pool = pool or ProcessPoolExecutor(1, get_context("spawn"), initializer=_prepare)
        folder = work / f"mutant{number}"
        folder.mkdir()
        try:
            wrong = pool.submit(trouble, name, data, folder, kept / f"{number}").result(_HUNG)
        except TimeoutError:
            wrong = f"hung for {_HUNG:.0f} s"
            pool = _killed(pool)
        except BrokenProcessPool:
            wrong = "the interpreter crashed"
            pool = _killed(pool)
        shutil.rmtree(folder)
        if wrong:
            kind = "hangs" if wrong.startswith(("hung", "took")) else "tracebacks, crashes and wrong results"
            found[kind] += 1
            (Path(tempfile.gettempdir()) / f"mutant-{seed}-{number}.{name}").write_bytes(data)
            print(f"mutant {number} ({name}), kept in {tempfile.gettempdir()}: {wrong}", flush=True)
    written = list(kept.iterdir())
    figures = f"{count:,} files, {len(written):,} written, {count - len(written):,} refused with a sentence"
    unread = judged(written)
    rows = [("mutants: " + kind, found[kind], figures) for kind in ("tracebacks, crashes and wrong results", "hangs")]
    if unread is not None:
        rows.append(("mutants: results that ImageMagick cannot read", len(unread), f"{len(written):,} results"))
        print(*unread, sep="\n", end="\n" if unread else "")
    return rows


def _prepare() -> None:
    formats.MAX_PIXELS = _MOST_PIXELS


def _killed(pool: ProcessPoolExecutor) -> None:
    for process in list(pool._processes.values()):  # pyright: ignore - shutdown would wait for what hangs
        process.kill()
    pool.shutdown(wait=False)


def judged(paths: list[Path]) -> list[str] | None:
    """Names of the files whose pixels ImageMagick cannot read; None where it is not installed.

    What it cannot read among others is tried once more alone: after some files it reads no further TIFF.
    """
    program = shutil.which("identify")
    if program is None:
        return None
    unread = {path.name: path for path in paths}
    for size in (_CHUNK, 1):
        left = list(unread.values())
        for start in range(0, len(left), size):
            command = [program, "-format", "%f %#\n", *map(str, left[start : start + size])]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
            for line in done.stdout.splitlines():
                if len(words := line.split()) == 2:
                    unread.pop(words[0], None)
    return sorted(unread)


def try_kills(count: int, seed: int, work: Path) -> list[Row]:
    """`kill -9` at a random time of a batch that replaces old results; every second one while a file is written."""
    source, old = photos(work / "in", 12, 700, seed), photos(work / "old", 12, 300, seed + 1)
    reference, out = work / "new", work / "out"
    assert finished(nsp(source, reference))[0] == 0
    before, after = contents(old), contents(reference)
    rng, found, hidden, replaced = random.Random(seed), Counter[str](), 0, 0
    for number in range(count):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(old, out)
        process = nsp(source, out, "--if-exists", "overwrite")
        _wait_for_write(out, process)
        time.sleep(rng.uniform(0, _SPREAD))
        if number % 2:
            _wait_for_write(out, process)
        process.kill()
        process.communicate()
        results = contents(out)
        hidden += left_over(out)
        replaced += sum(results.get(name) == after[name] for name in before)
        found["half-written or lost"] += sum(results.get(name) not in (before[name], after[name]) for name in before)
        code, errors, _ = finished(nsp(source / "0000.png", "-o", out, "--if-exists", "overwrite"))
        found["failed next runs"] += code != 0 or "Traceback" in errors
        found["left after the next run"] += left_over(out)
    figures = f"{count} kills, {hidden} left a temporary file, {replaced} of {12 * count} results were new"
    return [("kill -9: " + kind, found[kind], figures) for kind in sorted(found)]


def _wait_for_write(out: Path, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and not any(path.name.startswith(".nsp-") for path in out.iterdir()):
        time.sleep(0.001)


def try_full_disk(seed: int, work: Path) -> list[Row]:
    """A disk, and a limit on the size of a file, that hold some of a batch's results."""
    source, old = photos(work / "in", 8, 400, seed), photos(work / "old", 8, 100, seed + 1)
    reference = work / "new"
    assert finished(nsp(source, reference))[0] == 0
    before, after = contents(old), contents(reference)
    rows: list[Row] = []
    with small_disk(work / "disk", 2_000_000) as out:
        tries = [("limit on files", work / "limited", ["prlimit", "--fsize=100000"])]
        tries += [("full disk", out, list[str]())] if out else []
        for name, place, within in tries:
            shutil.copytree(old, place, dirs_exist_ok=True)
            code, errors, lines = finished(nsp(source, place, "--if-exists", "overwrite", within=within))
            results = contents(place)
            lost = sum(results.get(photo) not in (before[photo], after[photo]) for photo in before)
            failed = sum(line.get("status") == "failed" for line in lines)
            faults = lost + left_over(place) + ("Traceback" in errors) + (code != 1) + (failed == 0)
            rows.append((name, faults, f"8 photos, {failed} failed with a sentence, exit code {code}, {lost} lost"))
    return rows


@contextmanager
def small_disk(folder: Path, size: int) -> Generator[Path | None]:
    """A drive of so many bytes; None where mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0
    try:
        yield folder if done else None
    finally:
        if done:
            subprocess.run(["umount", str(folder)], check=False)


def try_rivals(count: int, seed: int, work: Path) -> list[Row]:
    """Two runs at once from one folder to one folder."""
    source, reference = photos(work / "in", 10, 300, seed), work / "new"
    assert finished(nsp(source, reference))[0] == 0
    after, rows = contents(reference), list[Row]()
    for way in ("skip", "overwrite", "rename"):
        faults = 0
        for _ in range(count):
            shutil.rmtree(work / "out", ignore_errors=True)
            ends = [finished(run) for run in [nsp(source, work / "out", "--if-exists", way) for _ in range(2)]]
            results = contents(work / "out")
            faults += sum(code != 0 or "Traceback" in errors for code, errors, _ in ends)
            faults += sum(results.get(name) != after[name] for name in after)
            expected = 2 * len(after) if way == "rename" else len(after)
            faults += len(results) != expected or any(data not in after.values() for data in results.values())
        rows.append((f"two runs at once, --if-exists {way}", faults, f"{count} times 10 photos"))
    return rows


def try_many(count: int, seed: int, work: Path) -> list[Row]:
    """A folder of small files of every format that is written."""
    source, suffixes = work / "in", (".png", ".jpg", ".tif", ".webp", ".avif")
    source.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        side = int(rng.integers(1, 65))
        pixels = rng.integers(0, 256, (side, 64, 3), np.uint8)
        write(Frame(pixels), source / f"{number:04}{suffixes[number % len(suffixes)]}")
    started = time.monotonic()
    code, errors, lines = finished(nsp(source, work / "out"))
    seconds = time.monotonic() - started
    written = sum(line.get("status") == "written" for line in lines)
    results = list((work / "out").iterdir())
    unread = judged(results) or []
    faults = (code != 0) + ("Traceback" in errors) + abs(count - written) + abs(count - len(results)) + len(unread)
    return [(f"{count:,} small files", faults, f"{written:,} written in {seconds:.0f} s")]


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--only", nargs="+", choices=["mutants", "kills", "disk", "rivals", "many"])
    flags.add_argument("--seed", type=int, default=2611)
    flags.add_argument("--mutants", type=int, default=10_000)
    flags.add_argument("--kills", type=int, default=60)
    flags.add_argument(
        "--rivals", type=int, default=5, help="times that two runs meet, for each --if-exists (%(default)s)"
    )
    flags.add_argument("--files", type=int, default=2_000, help="number of small files (%(default)s)")
    given = flags.parse_args()
    tries: dict[str, Callable[[Path], list[Row]]] = {
        "mutants": partial(try_mutants, given.mutants, given.seed),
        "kills": partial(try_kills, given.kills, given.seed),
        "disk": partial(try_full_disk, given.seed),
        "rivals": partial(try_rivals, given.rivals, given.seed),
        "many": partial(try_many, given.files, given.seed),
    }
    os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], os.environ.get("PYTHONPATH", "")])
    rows: list[Row] = []
    for name in given.only or tries:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / name
            work.mkdir()
            rows += tries[name](work)
    print_table(["", "faults", "figures"], [[name, str(faults), figures] for name, faults, figures in rows])
    return int(any(faults for _, faults, _ in rows))


if __name__ == "__main__":
    sys.exit(main())

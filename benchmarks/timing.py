"""Side-by-side timing: every candidate in turn, round after round, and medians, because machines are noisy."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch


@dataclass(frozen=True)
class Rounds:
    """Seconds of every round of every candidate."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, reference: str) -> float:
        """How many times faster than the reference: the median over rounds, of neighbours in time."""
        pairs = zip(self.seconds[reference], self.seconds[name], strict=True)
        return statistics.median(slow / fast for slow, fast in pairs)


def interleave(
    candidates: Mapping[str, Callable[[], object]], repeats: int, device: torch.device, clock: str = "wall"
) -> Rounds:
    """Call A B C A B C …, `repeats` times after one round that warms up and is not counted; `clock` as in `parser`."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, call in candidates.items():
            started = now()
            call()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            if turn:
                seconds[name].append(now() - started)
    return Rounds(seconds)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A GitHub table; the first column is text, the others are figures."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    aligned = (
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))] for line in lines
    )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in aligned)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print `markdown`'s table."""
    print(markdown(header, rows), flush=True)


def parser(doc: str | None, repeats: int | None = None) -> argparse.ArgumentParser:
    """A parser whose help is the script's own docstring, with the flags that all have; `repeats` for timings alone."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeats is not None:
        made.add_argument("--repeats", type=int, default=repeats, help="rounds that are counted (%(default)s)")
        clocks = "wall, or cpu: the process's own seconds, for one thread on a machine that has other work"
        made.add_argument("--clock", choices=("wall", "cpu"), default="wall", help=clocks)
    made.add_argument("--threads", type=int, default=0, help="threads of torch and onnxruntime (all cores)")
    made.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    return made


def use_threads(threads: int) -> None:
    """Limit torch's threads (0: leave them) and print what the figures below were measured with."""
    if threads:
        torch.set_num_threads(threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)\n")


def failure(call: Callable[[], object]) -> str | None:
    """Return None where a call works, or the first line of its error: torch.compile needs more than torch has."""
    try:
        call()
    except Exception as error:  # each compiler backend has its own
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None

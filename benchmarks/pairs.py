"""Building NSP's training pairs: all cells at once (`methods.nsp.NSP.pairs`) against a Python loop over the cells.

Both results are checked to be partitions: in every cell, inputs and targets together are its pixels, each once.

    python benchmarks/pairs.py [--batch 16] [--patch 160] [--targets 1 2 3 4]
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from timing import interleave, parser, print_table, use_threads
from torch import Generator

from nsp_cli.engine.backends.device import choose_device
from nsp_cli.methods.nsp import NSP
from nsp_cli.ops.cells import Strategy

Floats = NDArray[np.float32]
Shape = tuple[int, ...]


def shapes(s: int, t: int, strategy: Strategy) -> list[Shape]:
    """Every target that a cell can have, as pixel numbers."""
    lines = [c for c in combinations(range(s), t) if strategy is Strategy.INTERSECTED or c[-1] - c[0] == t - 1]
    return [tuple(s * y + x for y in rows for x in columns) for rows in lines for columns in lines]


def choose(method: NSP, all_shapes: list[Shape], rng: np.random.Generator) -> list[Shape]:
    """The disjoint targets of one cell; from the start again where no room is left."""
    area, size = method.stride**2, method.scale**2
    if method.strategy in (Strategy.RANDOM, Strategy.SORTED):
        drawn = rng.permutation(area)[: method.targets * size].reshape(method.targets, size).tolist()
        return [tuple(sorted(d) if method.strategy == Strategy.SORTED else d) for d in drawn]
    while True:
        free, chosen = all_shapes, list[Shape]()
        while free and len(chosen) < method.targets:
            chosen.append(free[int(rng.integers(len(free)))])
            free = [shape for shape in free if not set(shape) & set(chosen[-1])]
        if len(chosen) == method.targets:
            return chosen


def loop_pairs(method: NSP, photos: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """What `NSP.pairs` gives, one cell after the other."""
    s, t, n = method.stride, method.scale, method.targets
    b, c, h, w = *photos.shape[:2], photos.shape[2] // s, photos.shape[3] // s
    inputs = np.empty((b, s * s - n * t * t, c, h, w), np.float32)
    targets = np.empty((b, n, c, t * h, t * w), np.float32)
    every = shapes(s, t, Strategy(method.strategy))
    for i, y, x in np.ndindex(b, h, w):
        cell = photos[i, :, s * y : s * y + s, s * x : s * x + s].reshape(c, s * s)
        free = np.ones(s * s, bool)
        for k, shape in enumerate(choose(method, every, rng)):
            free[list(shape)] = False
            targets[i, k, :, t * y : t * y + t, t * x : t * x + t] = cell[:, shape].reshape(c, t, t)
        inputs[i, :, :, y, x] = cell[:, rng.permutation(np.flatnonzero(free))].T
    return inputs, targets


def check_partition(method: NSP, photos: Floats, inputs: Floats, targets: Floats) -> None:
    """Raise unless every cell's inputs and targets are its own pixels; each pixel of `photos` has its own value."""
    s, t = method.stride, method.scale
    b, n, c, h, w = *targets.shape[:2], *inputs.shape[2:]
    cells = photos[..., : h * s, : w * s].reshape(b, c, h, s, w, s).transpose(0, 2, 4, 1, 3, 5).reshape(b, h, w, c, -1)
    blocks = targets.reshape(b, n, c, h, t, w, t).transpose(0, 3, 5, 2, 1, 4, 6).reshape(b, h, w, c, -1)
    parts = np.concatenate([inputs.transpose(0, 3, 4, 2, 1), blocks], -1)
    if not np.array_equal(np.sort(parts, -1), np.sort(cells, -1)):
        raise SystemExit(f"{method}: inputs and targets are no partition of their cells.")


def main() -> None:
    flags = parser(__doc__, repeats=3)
    flags.add_argument("--batch", type=int, default=16)
    flags.add_argument("--patch", type=int, default=160)
    flags.add_argument("--targets", type=int, nargs="+", default=[1, 2, 3, 4], help="values of n")
    args = flags.parse_args()
    use_threads(args.threads)
    device = choose_device(args.device)
    rng, generator = np.random.default_rng(0), Generator(device).manual_seed(0)
    numbered = np.arange(args.batch * 3 * args.patch**2, dtype=np.float32).reshape(args.batch, 3, args.patch, -1)
    photos = torch.from_numpy(numbered).to(device)
    rows: list[list[str]] = []
    for strategy in Strategy:
        for n in args.targets:
            method = NSP(stride=5, scale=2, targets=n, strategy=strategy)
            check_partition(method, numbered, *loop_pairs(method, numbered, rng))
            inputs, targets = method.pairs(photos, generator)
            check_partition(method, numbered, inputs.cpu().numpy(), targets.cpu().numpy())
            times = interleave(
                {
                    "loop": lambda m=method: loop_pairs(m, numbered, rng),
                    "nsp": lambda m=method: m.pairs(photos, generator),
                },
                args.repeats,
                device,
                args.clock,
            )
            loop, ours = (1e3 * times.median(name) for name in ("loop", "nsp"))
            rows.append([strategy, str(n), f"{loop:.0f}", f"{ours:.1f}", f"{times.ratio('nsp', 'loop'):.0f}×"])
    print_table(["strategy", "n", "loop, ms a batch", "NSP.pairs, ms a batch", "faster"], rows)


if __name__ == "__main__":
    main()

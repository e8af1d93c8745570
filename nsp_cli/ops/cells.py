"""Random partitions of a photo's s×s cells: NSP's targets and inputs, SDAP's sub-images.

Every function works on all cells of a batch at once, on the photo's own device. Sources: NSP (CVPR 2026), Fig. 3; SDAP
(ICCV 2023).
A cell's pixels are numbered in row-major order, 0 … s² − 1.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from nsp_cli.errors import UsageError
from nsp_cli.ops.pd import check_divisible

_RETRIES = 10_000  # rounds in which cells without room for all targets are drawn again


class Strategy(StrEnum):
    """Strategies for the choice of a cell's target pixels."""

    RANDOM = "random"
    """Any t² pixels, in any order."""
    SORTED = "sorted"
    """Any t² pixels, in row-major order."""
    INTERSECTED = "intersected"
    """The crossings of t rows and t columns."""
    CONSECUTIVE = "consecutive"
    """A t×t block."""


def most_targets(strategy: Strategy, s: int, t: int) -> int:
    """Return the number of disjoint targets of t² pixels that an s×s cell can hold."""
    if strategy is Strategy.CONSECUTIVE:
        return (s // t) ** 2
    if strategy is Strategy.INTERSECTED:
        return s * (s // t) // t
    return s * s // (t * t)


def partition(
    cells: tuple[int, ...], s: int, t: int, n: int, strategy: Strategy, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Choose, in each cell independently, n disjoint targets and a random order of the other pixels.

    Parameters
    ----------
    cells : tuple of int
        Leading shape, for example (B, H/s, W/s).
    s, t, n : int
        Cell side, target side, targets in a cell.
    generator : Generator, optional
        Its device is the device of the result; None is the CPU's default generator.

    Returns
    -------
    targets : Tensor
        (*cells, n, t²) int64 pixel numbers.
    inputs : Tensor
        (*cells, s² − n·t²) int64 pixel numbers. Together they are a permutation of 0 … s² − 1 in every cell.

    Raises
    ------
    UsageError
        No such partition exists, or no input would be left.
    """
    _check(s, t, n, strategy)
    device = generator.device if generator is not None else torch.device("cpu")
    count = 1
    for side in cells:
        count *= side
    if strategy in (Strategy.RANDOM, Strategy.SORTED):
        order = shuffle((count,), s, generator)
        targets, inputs = order[:, : n * t * t].reshape(count, n, t * t), order[:, n * t * t :]
        if strategy is Strategy.SORTED:
            targets = targets.sort(2).values
    else:
        targets = _disjoint_shapes(count, _shapes(s, t, strategy).to(device), s, n, generator)
        noise = torch.rand(count, s * s, generator=generator, device=device)
        noise.scatter_(1, targets.flatten(1), 2.0)  # after every free pixel, whose noise is below one
        inputs = noise.argsort(1)[:, : s * s - n * t * t]
    return targets.reshape(*cells, n, t * t), inputs.reshape(*cells, -1)


def shuffle(cells: tuple[int, ...], s: int, generator: Generator | None = None) -> Tensor:
    """Draw, in each cell independently, an order of its pixels: (*cells, s²) int64 pixel numbers.

    `generator` is as in `partition`.
    """
    device = generator.device if generator is not None else torch.device("cpu")
    return torch.rand(*cells, s * s, generator=generator, device=device).argsort(-1)


def gather_cells(photo: Tensor, s: int, pixels: Tensor) -> Tensor:
    """Take the numbered pixels out of every cell.

    (B, C, H, W) and (B, H/s, W/s, K) pixel numbers give (B, K, C, H/s, W/s): K sub-images.
    """
    check_divisible(photo, s)
    b, c = photo.shape[:2]
    phases = F.pixel_unshuffle(photo, s).unflatten(1, (c, s * s))
    index = pixels.permute(0, 3, 1, 2).unsqueeze(1).expand(b, c, -1, -1, -1)
    return phases.gather(2, index).transpose(1, 2)


def _check(s: int, t: int, n: int, strategy: Strategy) -> None:
    if not 1 <= t <= s or n < 1:
        raise UsageError(f"NSP needs 1 <= t <= s and n >= 1, got s={s}, t={t}, n={n}.")
    most = most_targets(strategy, s, t)
    if n > most or n * t * t >= s * s:
        raise UsageError(
            f"A {s}x{s} cell holds at most {most} '{strategy}' targets of {t}x{t} and needs a pixel over, got n={n}."
        )


@lru_cache
def _shapes(s: int, t: int, strategy: Strategy) -> Tensor:
    """List every target that the strategy allows in a cell, (K, t²) pixel numbers in row-major order."""
    lines = list(combinations(range(s), t))
    if strategy is Strategy.CONSECUTIVE:
        lines = [line for line in lines if line[-1] - line[0] == t - 1]
    return torch.tensor([[s * r + c for r in rows for c in columns] for rows in lines for columns in lines])


def _disjoint_shapes(count: int, shapes: Tensor, s: int, n: int, generator: Generator | None) -> Tensor:
    """Draw n disjoint rows of `shapes` for each of `count` cells, (count, n, t²).

    One after the other, uniformly among those that are still free; cells that reach a dead end start again.
    """
    covers = torch.zeros(len(shapes), s * s, device=shapes.device).scatter_(1, shapes, 1.0)
    clash = (covers @ covers.T) > 0
    chosen = torch.empty(count, n, dtype=torch.long, device=shapes.device)
    left = torch.arange(count, device=shapes.device)
    for _ in range(_RETRIES):
        blocked = torch.zeros(len(left), len(shapes), dtype=torch.bool, device=shapes.device)
        stuck = torch.zeros(len(left), dtype=torch.bool, device=shapes.device)
        for i in range(n):
            stuck |= blocked.all(1)
            pick = (
                torch.rand(blocked.shape, generator=generator, device=shapes.device).masked_fill_(blocked, -1).argmax(1)
            )
            chosen[left, i] = pick
            blocked |= clash[pick]
        left = left[stuck]
        if not len(left):
            return shapes[chosen]
    raise UsageError(f"No way was found to place {n} such targets in a {s}x{s} cell; use fewer targets.")

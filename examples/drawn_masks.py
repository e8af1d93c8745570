"""Figures of the methods that draw lots: SDAP, AMSNet, R3, APR and RD. See `figures.py`."""

from __future__ import annotations

import torch
from drawn_pairs import numbered
from svg import BLUE, ORANGE, PALE, SET, arrow, document, frame, grid, words
from torch import Generator

from nsp_cli.methods.apr import choose_neighbours
from nsp_cli.methods.rd import recharge
from nsp_cli.ops.cells import shuffle
from nsp_cli.ops.masks import draw_patterns
from nsp_cli.ops.refine import PASSES, REPLACE_FRACTION


def sdap() -> str:
    """SDAP's sub-images on 2×2 cells: `ops.cells.shuffle`."""
    order = shuffle((2, 2), 5, Generator().manual_seed(2))
    cell = 24

    def number(r: int, c: int) -> int:
        return int((order[r // 5, c // 5] == 5 * (r % 5) + c % 5).nonzero())

    colour = {0: BLUE, 1: ORANGE}
    parts = [
        grid(20, 34, 10, 10, cell, lambda r, c: colour.get(number(r, c), PALE), lambda r, c: str(number(r, c) + 1)),
        *(frame(20 + 5 * cell * b, 34 + 5 * cell * a, 5 * cell, 5 * cell) for a in (0, 1) for b in (0, 1)),
        words(20, 24, "each pixel's sub-image"),
        words(310, 24, "input: sub-image 1"),
        grid(310, 34, 2, 2, cell, lambda *_: BLUE),
        arrow(364, 58, 404, 58),
        words(450, 24, "target: sub-image 2"),
        grid(450, 34, 2, 2, cell, lambda *_: ORANGE),
        words(310, 130, "and so on: 2 predicts 3, …, 25 predicts 1"),
    ]
    return document(620, 300, "SDAP's sub-images", parts)


def amsnet() -> str:
    """The complementary masks of AMSNet's test, and where each pixel of the result is from: `ops.masks`."""
    pattern = draw_patterns(1, 0.5)[0, 0]
    cell = 11

    def side(masked: bool) -> str:
        return grid(0, 0, 16, 16, cell, lambda r, c: "#ffffff" if bool(pattern[r, c]) == masked else BLUE)

    def at(x: int, drawn: str) -> str:
        return f'<g transform="translate({x} 34)">{drawn}</g>'

    merged = grid(0, 0, 16, 16, cell, lambda r, c: ORANGE if pattern[r, c] else SET[2])
    parts = [
        words(20, 24, "branch 1 sees blue"),
        at(20, side(True)),
        words(230, 24, "branch 2 sees the others"),
        at(230, side(False)),
        arrow(415, 122, 450, 122),
        words(460, 24, "orange from 1, green from 2"),
        at(460, merged),
    ]
    return document(660, 230, "AMSNet's masks", parts)


def r3() -> str:
    """Which pixels R3 puts back in each of its passes: `ops.masks`, with the share and the passes of `ops.refine`."""
    patterns = draw_patterns(PASSES, REPLACE_FRACTION)
    parts: list[str] = []
    for i, pattern in enumerate(patterns[:, 0]):
        x, y = 20 + 150 * (i % 4), 34 + 165 * (i // 4)
        parts.append(words(x, y - 8, f"pass {i + 1}"))
        parts.append(grid(x, y, 16, 16, 8, lambda r, c, p=pattern: BLUE if p[r, c] else PALE))
    parts.append(
        words(
            20,
            350,
            "Blue: the noisy photo's pixel again. The result is the mean of what the network makes of the eight.",
        )
    )
    return document(640, 364, "R3", parts)


def apr() -> str:
    """The two neighbours of some pixels: `methods.apr.choose_neighbours`."""
    side, cell = 9, 34
    first, second = (chosen[0] for chosen in choose_neighbours(numbered(side), Generator().manual_seed(4)))

    def middle(pixel: int) -> tuple[float, float]:
        return 20 + cell * (pixel % side + 0.5), 34 + cell * (pixel // side + 0.5)

    shown = [r * side + c for r in (1, 4, 7) for c in (1, 4, 7)]
    colour = {int(first[p]): BLUE for p in shown} | {int(second[p]): ORANGE for p in shown}
    parts = [words(20, 24, "nine of the photo's pixels, each with its 3×3 window")]
    parts.append(grid(20, 34, side, side, cell, lambda r, c: colour.get(side * r + c, PALE)))
    for pixel in shown:
        r, c = divmod(pixel, side)
        parts.append(frame(20 + cell * (c - 1), 34 + cell * (r - 1), 3 * cell, 3 * cell))
        for target in {int(first[pixel]), int(second[pixel])} - {pixel}:
            parts.append(arrow(*middle(pixel), *middle(target)))
    for i, (name, hue) in enumerate({"h₁(y) takes this one": BLUE, "h₂(y) takes this one": ORANGE}.items()):
        parts += [grid(360, 60 + 40 * i, 1, 1, 22, lambda *_, hue=hue: hue), words(392, 76 + 40 * i, name)]
    return document(600, 356, "APR's neighbours", parts)


def rd() -> str:
    """The sets of recharged distillation: `methods.rd.recharge`, with numbered targets."""
    side, count, cell = 12, 6, 16
    noisy = torch.full((1, 3, side, side), -1.0)
    targets = torch.arange(count, dtype=torch.float32).view(1, count, 1, 1, 1).expand(1, count, 3, side, side)
    out = recharge(noisy, targets, Generator().manual_seed(1))[0, :, 0]
    parts: list[str] = []
    for k in range(count):
        x, y = 20 + 215 * (k % 3), 34 + 225 * (k // 3)
        parts.append(words(x, y - 8, f"target of k = {k}"))
        parts.append(grid(x, y, side, side, cell, lambda r, c, k=k: PALE if out[k, r, c] < 0 else SET[k]))
    parts.append(words(20, 480, "Pale: the noisy photo's own pixels. Each pixel is pale in exactly one of the six."))
    return document(660, 494, "Recharged sets", parts)

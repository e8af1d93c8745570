"""Figures of what NSP and `simulated` learn from. See `figures.py`."""

from __future__ import annotations

import numpy as np
import torch
from svg import BLUE, ORANGE, PALE, SET, arrow, document, frame, grid, lines, picture, words
from torch import Generator, Tensor

from nsp_cli.methods.nsp import CANONICAL, NSP
from nsp_cli.ops.cells import Strategy, partition
from nsp_cli.ops.pd import pd_split
from nsp_cli.simulation.camera import random_camera, simulate
from nsp_cli.simulation.scene import sample_picture


def numbered(side: int) -> Tensor:
    """A photo whose pixels are their own numbers, (1, 1, side, side): it shows where each of them ends up."""
    return torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)


def pairs() -> str:
    """NSP's four strategies on 2×2 cells: `ops.cells.partition`."""
    cell, parts = 17, []
    for i, strategy in enumerate(Strategy):
        x, y = 20 + 215 * i, 34
        targets, inputs = partition((2, 2), 5, 2, 1, strategy, Generator().manual_seed(8))

        def place(r: int, c: int, targets: Tensor = targets, inputs: Tensor = inputs) -> tuple[str, str]:
            pixel, home = 5 * (r % 5) + c % 5, (r // 5, c // 5)
            found = (targets[home][0] == pixel).nonzero()
            if len(found):
                return ORANGE, str(int(found[0]) + 1)
            return (BLUE, "1") if inputs[home][0] == pixel else (PALE, str(int((inputs[home] == pixel).nonzero()) + 1))

        parts += [
            words(x, 24, str(strategy), 15),
            grid(x, y, 10, 10, cell, lambda r, c, p=place: p(r, c)[0], lambda r, c, p=place: p(r, c)[1]),
            *(frame(x + 5 * cell * b, y + 5 * cell * a, 5 * cell, 5 * cell) for a in (0, 1) for b in (0, 1)),
            grid(x, 240, 2, 2, cell, lambda *_: BLUE, lambda *_: "1"),
            arrow(x + 42, 257, x + 78, 257),
            grid(x + 86, 223, 4, 4, cell, lambda *_: ORANGE, lambda r, c: str(2 * (r % 2) + c % 2 + 1)),
        ]
    legend = "Blue: one input pixel of a cell. Orange: the target's four, in the order in which they are put together."
    return document(880, 330, "NSP's pairs", [*parts, words(20, 318, legend)])


def phases() -> str:
    """PD by 2 and what NSP makes of it at test time: `ops.pd.pd_split`."""
    cell = 22
    subs = pd_split(numbered(6), 2)[0, :, 0].int()
    colour = {int(pixel): SET[k] for k, sub in enumerate(subs) for pixel in sub.flatten()}
    parts = [
        words(20, 24, "photo"),
        grid(20, 34, 6, 6, cell, lambda r, c: colour[6 * r + c]),
        arrow(162, 100, 200, 100),
        words(180, 90, "PD 2", 12, "middle"),
        words(210, 24, "4 sub-images"),
    ]
    for k, sub in enumerate(subs):
        y = 34 + 84 * k
        parts += [
            grid(210, y, 3, 3, cell, lambda *_, k=k: SET[k], lambda r, c, s=sub: str(int(s[r, c]))),
            arrow(284, y + 33, 322, y + 33),
            words(303, y + 24, "net", 12, "middle"),
            grid(332, y, 6, 6, cell / 2, lambda *_, k=k: SET[k] + "88"),
        ]
    mixed = [
        words(332, 24, "4 predictions of the whole photo"),
        arrow(410, 200, 470, 110),
        arrow(410, 200, 470, 290),
        lines(480, 60, ["their mean:", "nsp denoise"]),
        grid(480, 90, 6, 6, cell / 2, lambda *_: "#b9c2cc"),
        lines(480, 220, ["side by side:", "nsp sr --mode shuffle"]),
        grid(480, 250, 12, 12, cell / 2, lambda r, c: SET[2 * (r % 2) + c % 2] + "88"),
    ]
    return document(660, 400, "PD, and NSP at test time", parts + mixed)


def canonical() -> str:
    """Which pixels canonical pairs take: `NSP.pairs` on numbered pixels, h = 2."""
    cell, side = 22, 16
    method = NSP(strategy=CANONICAL, canonical_strides=(2,))
    inputs, targets = method.pairs(numbered(side), Generator().manual_seed(3))
    blue, orange = ({int(pixel) for pixel in chosen.flatten()} for chosen in (inputs, targets))

    def fill(r: int, c: int) -> str:
        pixel = side * r + c
        return BLUE if pixel in blue else ORANGE if pixel in orange else PALE

    rows, columns = inputs.shape[-2:]
    parts = [
        words(20, 24, "photo"),
        grid(20, 34, side, side, cell, fill),
        arrow(385, 210, 425, 210),
        words(440, 24, "input"),
        grid(440, 34, rows, columns, cell, lambda *_: BLUE),
        words(440, 160, "target: the input is the corner of each 2×2"),
        grid(440, 170, 2 * rows, 2 * columns, cell, lambda r, c: BLUE if r % 2 == c % 2 == 0 else ORANGE),
    ]
    return document(720, 400, "Canonical pairs", parts)


def simulated() -> str:
    """Three cameras drawn at random photograph a painted picture: `simulation.camera.simulate`."""
    rng = np.random.default_rng(5)
    clean = sample_picture(288, 288, rng)[60:156, 130:226]
    parts = [words(20, 24, "clean"), picture(20, 34, 190, clean)]
    for i in range(3):
        noisy, target = simulate(clean, random_camera(rng), rng)
        x = 230 + 210 * i
        parts += [words(x, 24, f"camera {i + 1}: input"), picture(x, 34, 190, noisy)]
        parts += [words(x, 246, "target"), picture(x, 256, 190, target)]
    return document(860, 460, "Simulated cameras", parts)

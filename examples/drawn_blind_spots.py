"""Figures of what blind-spot networks see, measured by gradient. See `figures.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from svg import ORANGE, PALE, document, grid, words
from torch import Generator, Tensor, nn

from nsp_cli.networks import build_network
from nsp_cli.networks.dbsn import blind_average


def seen(network: nn.Module, side: int = 21, **arguments: Any) -> Tensor:
    """How strongly the output at the middle pixel depends on each input pixel, (side, side), by gradient."""
    middle = side // 2
    multiple = int(getattr(network, "size_multiple", 1))
    whole = -(-3 * side // multiple) * multiple
    start = (whole - side) // 2
    photo = torch.rand(1, 3, whole, whole, generator=Generator().manual_seed(0)).requires_grad_()
    output = network(photo, **arguments)
    scale = output.shape[-1] // whole
    y = scale * (start + middle)
    output[..., y : y + scale, y : y + scale].sum().backward()
    assert photo.grad is not None
    return photo.grad[0].abs().sum(0)[start : start + side, start : start + side]


def _map(x: float, y: float, found: Tensor, cell: float = 8) -> str:
    """Orange: no gradient at all. From white to blue: more, on a logarithmic scale of four steps."""
    steps = ("#ffffff", "#cfe2f6", "#93bfe9", "#4a90d9")
    logarithm = torch.log10(found.clamp(min=1e-30) / found.max())
    level = ((logarithm + 4) / 4 * 3).round().clamp(0, 3).int()

    def fill(r: int, c: int) -> str:
        return ORANGE if found[r, c] == 0 else steps[int(level[r, c])]

    return grid(x, y, len(found), len(found), cell, fill)


def random_network(name: str, **arguments: Any) -> nn.Module:
    """A network whose every weight is random, so that no path through it is closed by accident."""
    torch.manual_seed(0)
    network = build_network(name, arguments)
    for parameter in network.parameters():
        if not parameter.abs().sum():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def _blind_spots(title: str, shown: Mapping[str, Tensor]) -> str:
    parts = [
        _map(20 + 190 * i, 34, found) + words(20 + 190 * i, 24, name) for i, (name, found) in enumerate(shown.items())
    ]
    legend = "Orange: the middle pixel's output has no gradient there (blind spot, or too far). White to blue: larger."
    return document(max(20 + 190 * len(shown), 690), 240, title, [*parts, words(20, 226, legend)])


def blind_spot_dbsn() -> str:
    """The receptive field of DBSN, measured, and the weights of its blind average."""
    shallow, deep = (random_network("dbsn", width=8, depth=depth, scale=1) for depth in (0, 9))
    photo = torch.zeros(1, 1, 7, 7).requires_grad_()
    blind_average(photo)[0, 0, 3, 3].backward()
    assert photo.grad is not None
    weights = (12 * photo.grad[0, 0, 2:5, 2:5]).round().int()
    average = grid(
        440, 60, 3, 3, 36, lambda r, c: PALE if (r, c) != (1, 1) else ORANGE, lambda r, c: str(int(weights[r, c]))
    )
    made = _blind_spots("What DBSN sees", {"no residual modules": seen(shallow), "nine of them": seen(deep)})
    return made.replace("</svg>", words(440, 24, "blind average, over 12") + average + "</svg>")


def blind_spot_atbsn() -> str:
    """The blind spot of AT-BSN for each k: (2k − 1)×(2k − 1)."""
    network = random_network("atbsn", width=4, levels=2)
    return _blind_spots("What AT-BSN sees", {f"k = {k}": seen(network, blind_spot_size=k) for k in (0, 1, 2, 5)})


def blind_spot_tbsn() -> str:
    """TBSN, through its attention: the middle pixel alone is unseen."""
    network = random_network("tbsn", dim=16, blocks=(1, 1, 1), refinement=1, scale=1)
    return _blind_spots("What TBSN sees", {"TBSN, a small one": seen(network)})

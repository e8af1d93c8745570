"""Layouts of published checkpoints: shapes and order of tensors, and their names in the networks of this package.

A layout is recognised by shapes alone, in the order in which a release defines its layers; names differ from release to
release. Where a release fuses or splits what is one tensor here, the layout has an arrangement of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from nsp_cli.networks import build_network

Shape = tuple[int, ...]
Arrangement = Callable[[Mapping[str, Shape], Sequence[Tensor]], "dict[str, Tensor] | None"]
"""Maps our shapes by name and a checkpoint's tensors in their order to our tensors; None where they do not fit."""

_WIDEST, _DEEPEST = 512, 16  # feature channels, and modules or blocks of a level, of networks that are tried

_POSITIONS = 2
"""Rows by which a published table of TBSN's relative positions is ahead of ours: its windows of keys count from their
own corner, which lies two pixels before the queries'."""

_IMAGE_WEIGHTS = {
    "dbsn": (("head.0.weight", None),),
    "atbsn": (("unet.intro.weight", None), ("unet.up.{last}.0.weight", 3)),
    "unet": (("intro.0.weight", None), ("top.0.weight", 3)),
    "n2nunet": (("intro.0.weight", None), ("up.{last}.1.0.0.weight", 3)),
    "tbsn": (("head.weight", None),),
}
"""Names of weights, by network, whose inputs are the photo's channels, all of them or the last ones."""

_AP_BSN = {"layout": "mosaic", "pd_pad": 2, "refine_pad": 2, "refine_masks": "channel", "extend": "zeros"}
"""Settings of AP-BSN's released program at test time."""

_TBSN = {"refine_masks": "channel"}
"""Settings of the original TBSN's released program at test time."""

KNOWN = (
    "NSP on DBSN and on TBSN (t = 1, 2 or 4), AP-BSN, SDAP and SDAP(E) (one network), TBSN, AT-BSN and APR (one "
    "network), AMSNet's U-Net, and the U-Net students of AT-BSN, RD and TM-BSN (1.00 or 1.02 M parameters)"
)
"""The systems of `find_layouts`, for messages and help texts."""


def in_order(shapes: Mapping[str, Shape], tensors: Sequence[Tensor]) -> dict[str, Tensor] | None:
    """Assign tensors to names in their order."""
    if [tuple(tensor.shape) for tensor in tensors] != list(shapes.values()):
        return None
    return dict(zip(shapes, tensors, strict=True))


def layers_in_order(shapes: Mapping[str, Shape], tensors: Sequence[Tensor]) -> dict[str, Tensor] | None:
    """Assign pairs of weight and bias, the k-th of each shape to our k-th of that shape."""
    layers = [tensors[i : i + 2] for i in range(0, len(tensors), 2)]
    waiting: dict[tuple[Shape, ...], deque[Sequence[Tensor]]] = defaultdict(deque)
    for layer in layers:
        waiting[tuple(tuple(tensor.shape) for tensor in layer)].append(layer)
    names = list(shapes)
    found: dict[str, Tensor] = {}
    for pair in zip(names[::2], names[1::2], strict=True):
        same = waiting[tuple(shapes[name] for name in pair)]
        if not same:
            return None
        found.update(zip(pair, same.popleft(), strict=True))
    return None if any(waiting.values()) else found


def tbsn_by_shape(
    shapes: Mapping[str, Shape], tensors: Sequence[Tensor], channel_parts: int, window_parts: int
) -> dict[str, Tensor] | None:
    """Assign TBSN's tensors, the k-th of each shape to our k-th of that shape.

    Parameters
    ----------
    shapes, tensors
        See `Arrangement`.
    channel_parts : int
        Tensors that hold channel attention's q, k and v: 1 or 3.
    window_parts : int
        Tensors that hold window attention's: 1; 2 for q, and k with v; or 3.
    """
    waiting: dict[Shape, deque[Tensor]] = defaultdict(deque)
    for tensor in tensors:
        waiting[tuple(tensor.shape)].append(tensor)

    def take(*rows: int, rest: Shape) -> Tensor:
        return torch.cat([waiting[(count, *rest)].popleft() for count in rows])

    found: dict[str, Tensor] = {}
    try:
        for name, (rows, *rest) in shapes.items():
            if ".qkv." in name:
                found[name] = take(*[rows // channel_parts] * channel_parts, rest=tuple(rest))
            elif name.endswith("positions"):
                found[name] = take(rest[0], rest[0], rest=(rest[1],)).unflatten(0, (2, -1)).roll(-_POSITIONS, 1)
            elif name.endswith("query.weight"):
                counts = {1: [3 * rows], 2: [rows, 2 * rows], 3: [rows] * 3}[window_parts]
                query, key_value = take(*counts, rest=tuple(rest)).split([rows, 2 * rows])
                found |= {name: query, name.replace("query", "key_value"): key_value}
            elif not name.endswith("key_value.weight"):
                found[name] = take(rows, rest=tuple(rest))
    except IndexError:  # none is left of a shape
        return None
    return None if any(waiting.values()) else found


@dataclass(frozen=True)
class Layout:
    """A published system: its network, and the method that runs it.

    Attributes
    ----------
    title : str
        Name that is printed.
    network, network_args, method, method_args
        See `ModelSpec`.
    value_range : float
        Value of white that the network was trained with: 1 or 255. AP-BSN's and both TBSN's programs have 255.
    arrange : Arrangement
        Function that converts its tensors to those of the network.
    name : str
        Value of `method` of `model.importing.read_checkpoint` for it; empty for the method's name.
    by_name : bool
        Whether it is found by that name alone, because another layout has the same shapes and method.
    """

    title: str
    network: str
    network_args: Mapping[str, Any]
    method: str
    method_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    value_range: float = 1.0
    arrange: Arrangement = in_order
    name: str = ""
    by_name: bool = False

    @property
    def choice(self) -> str:
        """The name to choose it by where shapes fit several layouts."""
        return self.name or self.method

    def weights(self, tensors: Sequence[Tensor]) -> dict[str, Tensor] | None:
        """Return the tensors by our names; None where they are not those of this system."""
        with torch.device("meta"):
            network = build_network(self.network, self.network_args)
        return self.arrange({name: tuple(w.shape) for name, w in network.state_dict().items()}, tensors)


def find_layouts(tensors: Sequence[Tensor]) -> Iterator[tuple[Layout, dict[str, Tensor]]]:
    """Yield the systems that tensors of a checkpoint fit, with the tensors by our names."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    width = shapes[0][0] if shapes and len(shapes[0]) == 4 else 0
    if not 1 <= width <= _WIDEST or len(shapes) < 2:
        return
    for layout in (*_dbsn(width, len(shapes)), *_unets(width, shapes), *_tbsn(width, Counter(shapes))):
        if (weights := layout.weights(tensors)) is not None:
            yield layout, weights


def _nsp_args(scale: int) -> dict[str, Any]:
    return {"scale": scale, "stride": 5, "targets": 1, "strategy": "consecutive"}


def _dbsn(width: int, count: int) -> Iterator[Layout]:
    if depth := _depth(count, tail=5):
        for scale in (1, 2, 4):
            sized = {"width": width, "depth": depth, "residual": False, "scale": scale}
            yield Layout(f"NSP on DBSN, t = {scale}", "dbsn", sized, "nsp", _nsp_args(scale))
    if depth := _depth(count, tail=4):
        plain = {"width": width, "depth": depth, "residual": False, "scale": 1, "variant": "apbsn"}
        yield Layout("AP-BSN", "dbsn", plain, "apbsn", _AP_BSN, value_range=255)
        yield Layout("SDAP", "dbsn", plain, "sdap")
        yield Layout("SDAP(E)", "dbsn", plain, "sdap", {"second_pass": True}, name="sdap-e")


def _unets(width: int, shapes: Sequence[Shape]) -> Iterator[Layout]:
    for levels in range(2, 7):
        size = {"width": width, "levels": levels}
        at_bsn = {**size, "scale": 1, "blind_spot_size": 5}
        yield Layout("AT-BSN or APR", "atbsn", at_bsn, "apr", {"test_shift": 2, "margin": 16}, name="at-bsn")
        yield Layout("APR", "atbsn", at_bsn, "apr", {"test_shift": 1, "margin": 16}, by_name=True)
        yield Layout("RD student", "unet", {**size, "output_slope": 0.1}, "rd")
        yield Layout("TM-BSN student", "unet", {**size, "intro": False, "skips": "features"}, "rd")
        if len(shapes[-2]) == 4 and 1 <= (top := shapes[-2][1]) <= _WIDEST:
            yield Layout("AMSNet", "n2nunet", {**size, "top_width": top}, "amsnet", arrange=layers_in_order)


def _tbsn(dim: int, shapes: Mapping[Shape, int]) -> Iterator[Layout]:
    """Yield layouts of TBSN: a block has four norms, and a temperature for each of 1, 2 or 4 heads by its level."""
    norms = {factor: shapes.get((factor * dim,), 0) // 4 for factor in (1, 2, 4)}
    middle = shapes.get((2, 1, 1), 0) // 2
    blocks = (norms[1], middle, norms[4])
    refinement = norms[2] - 2 * middle - norms[1]
    if dim % 2 or not (all(1 <= count <= _DEEPEST for count in blocks) and 0 <= refinement <= _DEEPEST):
        return
    size = {"dim": dim, "blocks": blocks, "refinement": refinement, "statistics": "photo"}
    for channel_parts, window_parts in product((1, 3), (1, 2, 3)):
        arrange = partial(tbsn_by_shape, channel_parts=channel_parts, window_parts=window_parts)
        plain = {**size, "scale": 1, "tail": "plain"}
        yield Layout("TBSN", "tbsn", plain, "apbsn", _TBSN, value_range=255, arrange=arrange)
        for scale in (1, 2, 4):
            title, scaled = f"NSP on TBSN, t = {scale}", {**size, "scale": scale}
            yield Layout(title, "tbsn", scaled, "nsp", _nsp_args(scale), value_range=255, arrange=arrange)


def _depth(tensors: int, tail: int) -> int:
    """Return the residual modules of a DBSN by its number of weights and biases; 0 if it cannot be one.

    The head is one convolution, a branch four and two in each residual module, the tail `tail`.
    """
    depth, rest = divmod(tensors - 2 * (1 + 2 * 4 + tail), 8)
    return depth if rest == 0 and 1 <= depth <= _DEEPEST else 0


def fold_value_range(weights: dict[str, Tensor], network: str, white: float) -> None:
    """Let weights that were trained with another value of white take and give photos in [0, 1], exactly.

    f(white · x) / white: the first layers' weights grow by `white`, the last layer shrinks by it. Biases in between
    stay, since the values there are the same.
    """
    if white == 1:
        return
    stages = [name.partition("up.")[2].split(".")[0] for name in weights if name.startswith(("up.", "unet.up."))]
    last = max((int(stage) for stage in stages), default=0)
    names = [(name.format(last=last), count) for name, count in _IMAGE_WEIGHTS[network]]
    if network == "unet" and names[0][0] not in weights:  # no intro, and no photo at the last level
        names = [("down.0.0.weight", None)]
    for name, count in names:
        weight = weights[name].clone()
        weight[:, slice(None) if count is None else slice(-count, None)] *= white
        weights[name] = weight
    for name in ("last.weight", "last.bias"):
        if name in weights:
            weights[name] = weights[name] / white

"""Published PyTorch checkpoints as models of this package.

A checkpoint is recognised by the shapes of its tensors in the order in which its network defines its layers, which
PyTorch keeps; names differ from release to release and are not used, but for masks, which are dropped. Layers of the
networks here are defined in the order of a forward pass, as in the releases.

A file is loaded without running code from it (`torch.load(weights_only=True)`), and never allocates more than it holds.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network

_MOST_BYTES = 2 * 10**9  # of all entries of a checkpoint; the largest published one has 150 MB
_WIDEST, _DEEPEST = 512, 16  # feature channels and residual modules of networks that are tried

_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params", "model_weight", "denoiser", "model", "network")
"""Keys under which programs keep a network's weights beside other state."""

_RECONSTRUCT: Any = np.zeros(1).__reduce__()[0]
_NUMPY_STATE: list[Any] = [
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.uint32)),
]
"""What the state of a NumPy random generator is made of, which NSP's training files hold beside the weights."""

_IMAGE_WEIGHTS = {
    "dbsn": (("head.0.weight", None),),
    "atbsn": (("unet.intro.weight", None), ("unet.up.{last}.0.weight", 3)),
    "unet": (("intro.0.weight", None), ("top.0.weight", 3)),
}
"""By network: weights whose inputs are the photo's channels, all of them or the last ones."""


@dataclass(frozen=True)
class Layout:
    """A published system: its network, and the method that runs it.

    Attributes
    ----------
    title
        Name for people.
    network, network_args, method, method_args
        See `ModelSpec`.
    value_range
        Value of white that the network was trained with: 1 or 255.
    """

    title: str
    network: str
    network_args: Mapping[str, Any]
    method: str
    method_args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    value_range: float = 1.0


KNOWN = (
    "NSP on DBSN (t = 1, 2 or 4), AP-BSN and SDAP (DBSN with AP-BSN's tail), AT-BSN and APR, "
    "and the U-Net students of RD (1.00 M) and TM-BSN (1.02 M)"
)
"""What `read_checkpoint` recognises, for messages and help texts."""


def read_checkpoint(
    source: Path, method: str | None = None, value_range: float | None = None
) -> tuple[nn.Module, ModelSpec, Layout]:
    """Read a published checkpoint.

    Parameters
    ----------
    source
        A file that `torch.save` wrote: a state dict, or a dict that holds one.
    method
        Name of the method that it was trained with, where the shapes fit several; None to recognise it.
    value_range
        Value of white that the network was trained with, folded into its first and last layers; None for that of the
        release.

    Returns
    -------
    network, spec, layout
        The network (float32, CPU, evaluation mode), which takes and gives photos in [0, 1]; its recipe; and what it was
        recognised as.

    Raises
    ------
    ModelError
        The file cannot be read, holds a network that is not known, or weights that are not finite.
    UsageError
        The file fits several methods and `method` is None, or none of `method`'s; or `value_range` is not positive.
    """
    if value_range is not None and not value_range > 0:
        raise UsageError(f"value_range must be above 0, got {value_range}.")
    tensors = _tensors(_load(source), source)
    layout = _recognise([tuple(tensor.shape) for tensor in tensors], method, source)
    network = build_network(layout.network, layout.network_args)
    weights = dict(zip(network.state_dict(), (tensor.float() for tensor in tensors), strict=True))
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise ModelError(f"{source} holds weights that are not finite.")
    _fold_value_range(weights, layout, layout.value_range if value_range is None else value_range)
    network.load_state_dict(weights)
    spec = ModelSpec(
        layout.network,
        layout.network_args,
        layout.method,
        layout.method_args,
        training={"imported from": source.name, "recognised as": layout.title},
    )
    return network.eval(), spec, layout


def _load(source: Path) -> Any:
    """Read what a file holds: tensors and plain values. Raises `ModelError`."""
    try:
        with zipfile.ZipFile(source) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        found = getattr(error, "strerror", None) or "another kind of file"
        raise ModelError(
            f"{source}: expected a checkpoint that torch.save of PyTorch 1.6 or newer wrote, found: {found}."
        ) from error
    if size > _MOST_BYTES:
        raise ModelError(
            f"{source} claims {size / 1e9:.1f} GB, and no known checkpoint has more than {_MOST_BYTES / 1e9:.0f}."
        )
    try:
        with torch.serialization.safe_globals(_NUMPY_STATE):
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{source} holds Python objects beside tensors, which are not loaded because they could run code; save its "
            "state_dict() alone with torch.save, and import that."
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError) as error:
        raise ModelError(f"{source} is a damaged checkpoint: {' '.join(str(error).split())[:200]}.") from error


def _tensors(loaded: Any, source: Path) -> list[Tensor]:
    """Return the floating-point tensors of the network in a checkpoint, in their order, without masks."""
    while isinstance(loaded, Mapping):
        values: Mapping[Any, Any] = loaded
        found = [value for key, value in values.items() if isinstance(value, Tensor) and _is_weight(str(key), value)]
        if found:
            return found
        wrapper = next((key for key in _WRAPPERS if isinstance(values.get(key), Mapping)), None)
        if wrapper is None:
            break
        loaded = values[wrapper]
    raise ModelError(f"{source} holds no weights; expected a state dict, or one under {', '.join(_WRAPPERS)}.")


def _is_weight(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and "mask" not in name.rsplit(".", 1)[-1].lower()


def _recognise(shapes: list[tuple[int, ...]], method: str | None, source: Path) -> Layout:
    fitting = [layout for layout in _layouts(shapes) if _shapes(layout) == shapes]
    if not fitting:
        raise ModelError(f"{source} is not a network that can be imported; known are {KNOWN}.")
    if method is not None:
        chosen = next((layout for layout in fitting if layout.method == method), None)
        if chosen is None:
            names = " or ".join(dict.fromkeys(layout.method for layout in fitting))
            raise UsageError(f"{source} fits {names}, not the method '{method}'.")
        return chosen
    if len({layout.method for layout in fitting}) > 1:
        names = " and ".join(dict.fromkeys(layout.method for layout in fitting))
        raise UsageError(f"{source} fits {names}; choose one with --as.")
    return fitting[0]


def _layouts(shapes: list[tuple[int, ...]]) -> Iterator[Layout]:
    """Yield the systems that a network with these shapes may be, of any width and depth."""
    width = shapes[0][0] if shapes and len(shapes[0]) == 4 else 0
    if not 1 <= width <= _WIDEST:
        return
    if depth := _depth(len(shapes), tail=5):
        for scale in (1, 2, 4):
            sized = {"width": width, "depth": depth, "residual": False, "scale": scale}
            pairs = {"scale": scale, "stride": 5, "targets": 1, "strategy": "consecutive"}
            yield Layout(f"NSP on DBSN, t = {scale}", "dbsn", sized, "nsp", pairs)
    if depth := _depth(len(shapes), tail=4):
        plain = {"width": width, "depth": depth, "residual": False, "scale": 1, "variant": "apbsn"}
        yield Layout("AP-BSN", "dbsn", plain, "apbsn")
        yield Layout("SDAP", "dbsn", plain, "sdap")
    for levels in range(2, 7):
        size = {"width": width, "levels": levels}
        yield Layout("AT-BSN or APR", "atbsn", {**size, "scale": 1, "blind": 5}, "apr", {"blind": 2})
        yield Layout("RD student", "unet", {**size, "output_slope": 0.1}, "rd")
        yield Layout("TM-BSN student", "unet", {**size, "intro": False, "skips": "features"}, "rd")


def _depth(tensors: int, tail: int) -> int:
    """Return the residual modules of a DBSN by its number of weights and biases; 0 if it cannot be one.

    The head is one convolution, a branch four and two in each residual module, the tail `tail`.
    """
    depth, rest = divmod(tensors - 2 * (1 + 2 * 4 + tail), 8)
    return depth if rest == 0 and 1 <= depth <= _DEEPEST else 0


def _shapes(layout: Layout) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        network = build_network(layout.network, layout.network_args)
    return [tuple(weight.shape) for weight in network.state_dict().values()]


def _fold_value_range(weights: dict[str, Tensor], layout: Layout, white: float) -> None:
    """Let weights that were trained with another value of white take and give photos in [0, 1], exactly.

    f(white · x) / white: the first layers' weights grow by `white`, the last layer shrinks by it. Biases in between
    stay, since the values there are the same.
    """
    if white == 1:
        return
    last = max((int(name.split(".")[2]) for name in weights if name.startswith("unet.up.")), default=0)
    names = [(name.format(last=last), count) for name, count in _IMAGE_WEIGHTS[layout.network]]
    if layout.network == "unet" and names[0][0] not in weights:  # no intro, and no photo at the last level
        names = [("down.0.0.weight", None)]
    for name, count in names:
        weight = weights[name].clone()
        inputs = slice(None) if count is None else slice(-count, None)
        weight[:, inputs] *= white
        weights[name] = weight
    for name in ("last.weight", "last.bias"):
        weights[name] = weights[name] / white

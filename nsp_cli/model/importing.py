"""Published PyTorch checkpoints as models of this package.

A checkpoint is recognised by the shapes of its tensors (`model.published_layouts`). Of their names only that of a mask
is used, which is dropped.

A file is loaded without running code from it (`torch.load(weights_only=True)`), and never allocates more than it holds.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.model.published_layouts import KNOWN, Layout, find_layouts, fold_value_range
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network

_MOST_BYTES = 2 * 10**9  # of all entries of a checkpoint; the largest published one has 150 MB

_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params", "model_weight", "denoiser", "model", "network")
"""Keys under which programs keep a network's weights beside other state."""

_PREFIX = 4  # parts of names, as in module.network.dn.branches; files may hold a teacher and its student

_STATE_DICT_ALONE = "save its state_dict() alone with torch.save, and import that"

_DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    AssertionError,
)
"""Errors of torch.load on damaged files."""


class _Ignored:
    """Stands for an array or a data type of NumPy in a checkpoint, whose values nothing here needs."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


_NUMPY_STATE: list[Any] = [
    (_Ignored, "numpy.core.multiarray._reconstruct"),
    (_Ignored, "numpy._core.multiarray._reconstruct"),
    (_Ignored, "numpy.ndarray"),
    (_Ignored, "numpy.dtype"),
]
"""The globals in the state of a NumPy random generator, which NSP's training files hold beside the weights. NumPy's own
would allocate an array of any size that a file claims."""

_BYTEARRAY = b"\nbytearray\n"
"""A reference to `bytearray` in a pickle: torch.load allows it, and it fills as much memory as the file claims."""


def read_checkpoint(
    source: Path, method: str | None = None, value_range: float | None = None
) -> tuple[nn.Module, ModelSpec, Layout]:
    """Read a published checkpoint.

    Parameters
    ----------
    source : Path
        A file that `torch.save` wrote: a state dict, or a dict that holds one.
    method : str, optional
        Name of the method that it was trained with, where the shapes fit several, "sdap-e" for SDAP with its second
        pass, or "at-bsn" for AT-BSN's blind spot at test time and "apr" for APR's; None to recognise it.
    value_range : float, optional
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
    layout, weights = _recognize(_tensors(_load(source), source), method, source)
    network = build_network(layout.network, layout.network_args)
    weights = {name: weight.float() for name, weight in weights.items()}
    fold_value_range(weights, layout.network, layout.value_range if value_range is None else value_range)
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise ModelError(f"{source} holds weights that are not finite.")
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
            pickles = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
            allocates = size <= _MOST_BYTES and any(_BYTEARRAY in archive.read(entry) for entry in pickles)
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {error.strerror or type(error).__name__}.") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise ModelError(f"{source} is not a checkpoint that torch.save of PyTorch 1.6 or newer wrote.") from error
    if size > _MOST_BYTES:
        raise ModelError(
            f"{source} claims {size / 1e9:.1f} GB, and no known checkpoint has more than {_MOST_BYTES / 1e9:.0f}."
        )
    if allocates:
        raise ModelError(f"{source} holds Python objects beside tensors; {_STATE_DICT_ALONE}.")
    try:
        with torch.serialization.safe_globals(_NUMPY_STATE):
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{source} holds Python objects beside tensors, which are not loaded because they could run code; "
            f"{_STATE_DICT_ALONE}."
        ) from error
    except _DAMAGED as error:
        raise ModelError(f"{source} is a damaged checkpoint: {' '.join(str(error).split())[:200]}.") from error


def _tensors(loaded: Any, source: Path) -> dict[str, Tensor]:
    """Return the floating-point tensors of the network in a checkpoint, in their order, without masks."""
    for _ in _WRAPPERS:  # nested at most so deep: a dict can hold itself
        if not isinstance(loaded, Mapping):
            break
        values: Mapping[Any, Any] = loaded
        wrapper = next((key for key in _WRAPPERS if isinstance(values.get(key), Mapping)), None)
        if wrapper is None:
            named = {str(key): value for key, value in values.items() if isinstance(value, Tensor)}
            if found := {name: tensor for name, tensor in named.items() if _is_weight(name, tensor)}:
                return found
            break
        loaded = values[wrapper]
    raise ModelError(f"{source} holds no weights; expected a state dict, or one under {', '.join(_WRAPPERS)}.")


def _is_weight(name: str, tensor: Tensor) -> bool:
    dense = tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_meta
    return dense and "mask" not in name.rsplit(".", 1)[-1].lower()


def _networks(tensors: Mapping[str, Tensor]) -> Iterator[list[list[Tensor]]]:
    """Yield the file's tensors as one network, then those of each prefix, of one to `_PREFIX` parts of the names."""
    for parts in range(_PREFIX + 1):
        networks: dict[str, list[Tensor]] = {}
        for name, tensor in tensors.items():
            networks.setdefault(".".join(name.split(".")[:parts]), []).append(tensor)
        yield list(networks.values())


def _recognize(tensors: Mapping[str, Tensor], method: str | None, source: Path) -> tuple[Layout, dict[str, Tensor]]:
    found = ([fit for network in networks for fit in find_layouts(network)] for networks in _networks(tensors))
    fitting = next(filter(None, found), [])
    if not fitting:
        raise ModelError(f"{source} is not a network that can be imported; known are {KNOWN}.")
    names = list(dict.fromkeys(layout.choice for layout, _ in fitting))
    if method is not None and method not in names:
        raise UsageError(f"{source} fits {' or '.join(names)}, not the method '{method}'.")
    chosen = [fit for fit in fitting if fit[0].choice == method or (method is None and not fit[0].by_name)]
    if len(names := list(dict.fromkeys(layout.choice for layout, _ in chosen))) > 1:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise UsageError(f"{source} fits {listed}; choose one as `method`.")
    return chosen[0]

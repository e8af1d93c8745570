"""Published PyTorch checkpoints as models of this package.

A checkpoint is recognised by the shapes of its tensors (`model.layouts`); of their names only that of a mask, which is
dropped, is used.

A file is loaded without running code from it (`torch.load(weights_only=True)`), and never allocates more than it holds.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.model.layouts import KNOWN, Layout, find_layouts, fold_value_range
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network

_MOST_BYTES = 2 * 10**9  # of all entries of a checkpoint; the largest published one has 150 MB

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
"""Types in the state of a NumPy random generator, which NSP's training files hold beside the weights."""


def read_checkpoint(
    source: Path, method: str | None = None, value_range: float | None = None
) -> tuple[nn.Module, ModelSpec, Layout]:
    """Read a published checkpoint.

    Parameters
    ----------
    source
        A file that `torch.save` wrote: a state dict, or a dict that holds one.
    method
        Name of the method that it was trained with, where the shapes fit several, or "sdap-e" for SDAP with its second
        pass; None to recognise it.
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
    layout, weights = _recognise(tensors, method, source)
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
    for _ in _WRAPPERS:  # nested at most so deep: a dict can hold itself
        if not isinstance(loaded, Mapping):
            break
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
    dense = tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_meta
    return dense and "mask" not in name.rsplit(".", 1)[-1].lower()


def _recognise(tensors: list[Tensor], method: str | None, source: Path) -> tuple[Layout, dict[str, Tensor]]:
    fitting = list(find_layouts(tensors))
    if not fitting:
        raise ModelError(f"{source} is not a network that can be imported; known are {KNOWN}.")
    names = list(dict.fromkeys(layout.choice for layout, _ in fitting))
    if method is not None and method not in names:
        raise UsageError(f"{source} fits {' or '.join(names)}, not the method '{method}'.")
    if method is None and len(names) > 1:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise UsageError(f"{source} fits {listed}; choose one as `method`.")
    return next(found for found in fitting if method in (None, found[0].choice))

"""Weights on disk: safetensors, never a pickle, with the `ModelSpec` in the file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.system.atomic import publish

SPEC_KEY = "nsp.model"


def save_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a safetensors file whole or not at all, over what was there. Raises `OutputError`."""
    data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, dict(metadata))
    publish(data, path, overwrite=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors (CPU) and its metadata. Raises `ModelError`."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"There are no weights at {path}.") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a safetensors file that can be read: {error}.") from error


def save_model(network: nn.Module, spec: ModelSpec, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network and the recipe that it needs; `dtype` float16 halves the file."""
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_tensors(state, {SPEC_KEY: spec.to_json()}, path)


def load_model(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Rebuild a network from its file alone: float32, on the CPU, in evaluation mode. Raises `ModelError`."""
    tensors, metadata = load_tensors(path)
    if SPEC_KEY not in metadata:
        raise ModelError(f"{path} was not written by nsp: its metadata has no '{SPEC_KEY}'.")
    spec = ModelSpec.from_json(metadata[SPEC_KEY])
    network = build_network(spec.network, spec.network_args)
    try:
        network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    except RuntimeError as error:
        raise ModelError(f"The weights in {path} do not fit the network that the file names.") from error
    return network.eval(), spec

"""Weights on disk: safetensors, never a pickle, with the `ModelSpec` in the file's metadata."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.system.atomic import write_atomically

SPEC_KEY = "nsp.model"
_FLOATS = ("F16", "BF16", "F32", "F64")
"""Types of weights, as safetensors names them."""


def save_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write a safetensors file whole or not at all, over what was there. Raises `OutputError`."""
    data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, dict(metadata))
    write_atomically(data, path, overwrite=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors (CPU) and its metadata. Raises `ModelError`."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    """Open a safetensors file. Raises `ModelError`, also for what goes wrong while it is read."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelError(f"There are no weights at {path}.") from error
    except (SafetensorError, OSError) as error:
        if path.suffix != ".safetensors":
            raise ModelError(f"{path} is not a model; models are .safetensors or .onnx files.") from error
        raise ModelError(f"{path} is not a safetensors file that can be read: {error}.") from error


def save_model(network: nn.Module, spec: ModelSpec, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a network and the recipe that it needs; `dtype` float16 halves the file."""
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_tensors(state, {SPEC_KEY: spec.to_json()}, path)


def load_model(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Rebuild a network from its file alone: float32, on the CPU, in evaluation mode. Raises `ModelError`."""
    spec = read_spec(path)
    network = build_network(spec.network, spec.network_args)
    tensors = load_tensors(path)[0]
    network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    return network.eval(), spec


def read_spec(path: Path) -> ModelSpec:
    """Read the recipe in a file's header, and compare its network with the shapes of the tensors. Raises `ModelError`.

    Nothing is allocated but the header, whatever size it claims.
    """
    if path.suffix == ".onnx":
        raise ModelError(f"{path} is an exported graph; this needs the .safetensors file that it was made of.")
    with _opened(path) as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(tensor.get_shape()) for name, tensor in found.items()}
        types = {name: tensor.get_dtype() for name, tensor in found.items()}
        metadata = file.metadata() or {}
    if SPEC_KEY not in metadata:
        raise ModelError(f"{path} was not written by nsp: its metadata has no '{SPEC_KEY}'.")
    try:
        spec = ModelSpec.from_json(metadata[SPEC_KEY])
        if spec.network_args.get("channels", spec.channels) != spec.channels:
            raise ModelError(f"The network has {spec.network_args['channels']} channels, photos have {spec.channels}.")
        with torch.device("meta"):
            network = build_network(spec.network, spec.network_args)
    except ModelError as error:
        raise ModelError(f"{path} holds a model that cannot be run. {error}") from error
    if {name: tuple(weight.shape) for name, weight in network.state_dict().items()} != shapes:
        raise ModelError(f"The weights in {path} do not fit the network that the file names.")
    for name, weight in network.state_dict().items():
        if weight.is_floating_point() and types[name] not in _FLOATS:
            raise ModelError(f"The weights in {path} must be {', '.join(_FLOATS)}, got {types[name]} for '{name}'.")
    return spec

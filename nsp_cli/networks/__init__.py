"""The networks: `torch.nn.Module`s that map (N, C, h, w) to (N, C, t·h, t·w), all in one table.

Every network has the attributes that tiling needs: `scale` (t), `receptive_field_radius` (in its input pixels),
`size_multiple` (its downsampling) and `activation_floats_per_pixel` (activations alive at once for one input pixel).
Five are optional: `grid`, see `grid_of`, `tile`, see `tile_of`, `noise_level`, see `is_noise_conditional`,
`input_skip`, see `has_input_skip`, and `coarse_input`, see `has_coarse_input`. So is the method `adopt`, which converts
the tensors of a similar network to its own: fine-tuning may start from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Protocol, cast

from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks.atbsn import ATBSN
from nsp_cli.networks.dbsn import DBSN
from nsp_cli.networks.n2nunet import N2NUNet
from nsp_cli.networks.nafnet import NAFNet
from nsp_cli.networks.tbsn import TBSN
from nsp_cli.networks.twoscale import TwoScale
from nsp_cli.networks.unet import ResUNet, UNet
from nsp_cli.system.arguments import check_arguments

__all__ = [
    "NETWORKS",
    "PLAIN_NETWORKS",
    "WITH_BLIND_SPOT",
    "Network",
    "WrappedNetwork",
    "arguments_of",
    "build_network",
    "grid_of",
    "has_coarse_input",
    "has_input_skip",
    "is_noise_conditional",
    "tile_of",
]


class Network(Protocol):
    """The protocol of a network, for methods and the engine."""

    scale: int
    receptive_field_radius: int
    size_multiple: int
    activation_floats_per_pixel: int

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) float to (N, C, scale·H, scale·W)."""
        ...


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "dbsn": DBSN,
    "atbsn": ATBSN,
    "unet": UNet,
    "resunet": ResUNet,
    "twoscale": TwoScale,
    "n2nunet": N2NUNet,
    "nafnet": NAFNet,
    "tbsn": TBSN,
}

WITH_BLIND_SPOT = ("dbsn", "tbsn", "atbsn")
"""Networks whose output for a pixel does not depend on that pixel of the input."""

PLAIN_NETWORKS = tuple(name for name in NETWORKS if name not in WITH_BLIND_SPOT)
"""The other networks. Trained on the noisy photo that is their own input, they would learn to return it."""


def arguments_of(name: str) -> dict[str, Any]:
    """List the arguments of a network with their defaults. Raises `ModelError` for an unknown name."""
    _check(name)
    return {key: argument.default for key, argument in signature(NETWORKS[name]).parameters.items()}


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make an untrained network. Raises `ModelError` for an unknown name or arguments out of their bounds."""
    _check(name)
    try:
        check_arguments(NETWORKS[name], arguments)
        return NETWORKS[name](**arguments)
    except ValueError as error:
        raise ModelError(f"The network '{name}' does not take these arguments: {error}.") from error


def _check(name: str) -> None:
    if name not in NETWORKS:
        raise ModelError(f"There is no network '{name}'; nsp has {', '.join(NETWORKS)}.")


def grid_of(network: Network) -> int:
    """Return the divisor of tile origins: `size_multiple`, or `grid` of a network that pads its input itself."""
    return getattr(network, "grid", network.size_multiple)


def tile_of(network: Network) -> int:
    """Return the tile side of a network with global statistics, whose output depends on its tile; 0 for others."""
    return getattr(network, "tile", 0)


def is_noise_conditional(network: Network) -> bool:
    """Return whether the noise level is an input, as in FFDNet and DRUNet: the network takes (N, C + 1, h, w).

    The last channel is the standard deviation of the photo's luma noise (white = 1), the same at every pixel.
    """
    return getattr(network, "noise_level", False)


def has_input_skip(network: Network) -> bool:
    """Return whether a network adds to its input, or to an average of it, so that bfloat16 rounds the change alone."""
    return getattr(network, "input_skip", False)


def has_coarse_input(network: Network) -> bool:
    """Return whether the result for the photo at half its size is an input: C planes more, see `twoscale.FineScale`."""
    return getattr(network, "coarse_input", False)


def as_network(module: nn.Module) -> Network:
    """Cast a module to the protocol."""
    return cast(Network, module)


class WrappedNetwork(nn.Module):
    """Base class of modules that run a network in another way; it has all attributes that describe the network.

    Subclasses change those that their way of running changes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        described = as_network(network)
        self.scale = described.scale
        self.receptive_field_radius = described.receptive_field_radius
        self.size_multiple = described.size_multiple
        self.activation_floats_per_pixel = described.activation_floats_per_pixel
        self.grid = grid_of(described)
        self.tile = tile_of(described)
        self.noise_level = is_noise_conditional(described)
        self.input_skip = has_input_skip(described)

"""What is true of all networks: which have a blind spot, and modules that run them have their description."""

from typing import Any

import pytest
import torch

from nsp_cli.methods.amsnet import MaskedInference
from nsp_cli.methods.apr import APR
from nsp_cli.methods.base import SelfEnsemble
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.spec import Task
from nsp_cli.networks import (
    NETWORKS,
    WITH_BLIND_SPOT,
    WrappedNetwork,
    as_network,
    build_network,
    grid_of,
    has_input_skip,
    is_noise_conditional,
    tile_of,
)
from tests.conftest import fill_zeros
from tests.methods.cases import TINY_TBSN

SMALL: dict[str, dict[str, Any]] = {
    "dbsn": {"width": 8, "depth": 1, "scale": 1},
    "atbsn": {"width": 4, "levels": 1},
    "unet": {"width": 4, "levels": 2},
    "resunet": {"widths": (8, 8), "depths": (1, 1)},
    "twoscale": {"widths": (8,), "depths": (1,), "fine_width": 8, "fine_hidden": 8, "fine_depth": 1},
    "n2nunet": {"width": 4, "levels": 2},
    "nafnet": {"widths": (8, 8), "depths": (1, 1)},
    "tbsn": {**TINY_TBSN, "scale": 1},
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_with_a_blind_spot_do_not_depend_on_their_own_pixel(name: str) -> None:
    network = fill_zeros(build_network(name, SMALL[name])).eval()
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network(x)[0, :, 15, 14].sum().backward()
    assert x.grad is not None
    assert bool((x.grad[0, :, 15, 14] == 0).all()) is (name in WITH_BLIND_SPOT)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_wrapped_network_has_the_description_of_the_network(name: str) -> None:
    network = build_network(name, SMALL[name])
    own = as_network(network)
    for wrapped in map(as_network, (WrappedNetwork(network), SelfEnsemble(network, 2), MaskedInference(network))):
        for read in (grid_of, tile_of, is_noise_conditional, has_input_skip):
            assert read(wrapped) == read(own)
        assert (wrapped.scale, wrapped.size_multiple) == (own.scale, own.size_multiple)
        assert wrapped.receptive_field_radius == own.receptive_field_radius


def test_pipelines_of_wrapped_networks_are_tiled_as_the_network_needs() -> None:
    tbsn = build_network("tbsn", SMALL["tbsn"])
    once, twice = (Simulated(ensemble=count).pipeline(tbsn, Task.DENOISE).spec for count in (1, 2))
    assert once == twice
    assert (once.tile, once.multiple) == (192, 32)
    atbsn = build_network("atbsn", SMALL["atbsn"])
    atbsn.grid, atbsn.tile = 6, 48  # as of a network that is global
    spec = APR(test_shift=2).pipeline(atbsn, Task.DENOISE).spec
    assert (spec.multiple, spec.tile) == (6, 48)

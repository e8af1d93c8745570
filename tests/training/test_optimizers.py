"""Muon: what a step does to a convolution, and what is left to AdamW."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from nsp_cli.networks import NETWORKS, build_network
from nsp_cli.training.optimizers import Muon, orthogonal


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 3, 3))


def backward(network: nn.Module) -> None:
    network(torch.rand(2, 3, 12, 12)).square().sum().backward()


def changes(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    before = [p.detach().clone() for p in network.parameters()]
    optimizer.step()
    return [p.detach() - b for p, b in zip(network.parameters(), before, strict=True)]


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (1, 9), (48, 48)])
def test_orthogonal_keeps_the_directions_and_makes_their_sizes_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    # Singular values over two decades: what Newton and Schulz's rounds are made for.
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = torch.logspace(0, -2, min(shape))
    made = orthogonal(u * sizes @ v)
    within = u.T @ made @ v.T
    assert 0.6 < float(within.diagonal().min()) <= float(within.diagonal().max()) < 1.25
    assert torch.allclose(within, within.diagonal().diag(), atol=1e-3)


def test_a_step_of_an_inner_convolution_has_the_size_of_adamws_and_ignores_that_of_the_gradient() -> None:
    steps = []
    for factor in (1.0, 1000.0):
        network = layers()
        backward(network)
        for p in network.parameters():
            p.grad *= factor
        steps.append(changes(network, Muon(network.parameters(), lr=1e-2, weight_decay=0.0)))
    inner = steps[0][2]
    assert torch.allclose(inner, steps[1][2], rtol=1e-3, atol=1e-7)
    # Of AdamW's first step every weight is the learning rate; Liu et al. measured 0.2 of it later on.
    assert 0.1e-2 < float(inner.square().mean().sqrt()) < 0.3e-2


def test_first_and_last_weights_and_all_biases_are_adamws() -> None:
    network, twin = layers(), layers()
    backward(network)
    for p, q in zip(network.parameters(), twin.parameters(), strict=True):
        q.grad = p.grad.clone()
    mixed = changes(network, Muon(network.parameters(), lr=1e-2, weight_decay=1e-2))
    plain = changes(twin, torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=1e-2))
    alike = [torch.equal(a, b) for a, b in zip(mixed, plain, strict=True)]
    assert alike == [True, True, False, True, False, True, True, True]


def test_a_loaded_state_goes_on_where_the_saved_one_stopped() -> None:
    network = layers()
    optimizer = Muon(network.parameters(), lr=1e-2, weight_decay=1e-4)
    backward(network)
    optimizer.step()
    other = layers()
    other.load_state_dict(network.state_dict())
    loaded = Muon(other.parameters(), lr=1e-2, weight_decay=1e-4)
    loaded.load_state_dict(deepcopy(optimizer.state_dict()))
    fresh = deepcopy(network)
    torch.manual_seed(1)
    for weights in zip(*(net.parameters() for net in (network, other, fresh)), strict=True):
        gradient = torch.randn_like(weights[0])
        for weight in weights:
            weight.grad = gradient.clone()
    forgetful = changes(fresh, Muon(fresh.parameters(), lr=1e-2, weight_decay=1e-4))
    for a, b, c in zip(changes(network, optimizer), changes(other, loaded), forgetful, strict=True):
        assert torch.equal(a, b)
        assert not torch.allclose(a, c, atol=1e-4)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_takes_a_step(name: str) -> None:
    network = build_network(name, {})
    optimizer = Muon(network.parameters(), lr=1e-3, weight_decay=1e-4)
    for p in network.parameters():
        p.grad = torch.randn_like(p)
    assert all(bool(torch.isfinite(change).all() and change.any()) for change in changes(network, optimizer))


def test_muon_takes_no_closure() -> None:
    with pytest.raises(ValueError, match="closure"):
        Muon(layers().parameters(), lr=1e-2, weight_decay=0.0).step(lambda: 0.0)

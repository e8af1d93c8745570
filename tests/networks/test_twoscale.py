"""TwoScale: a U-Net at half the photo's size, and few convolutions at full size that have its result as an input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nsp_cli.errors import ModelError
from nsp_cli.networks import as_network, build_network, has_coarse_input
from nsp_cli.networks.layers import halve
from nsp_cli.networks.twoscale import FineScale, TwoScale
from tests.conftest import fill_zeros

SMALL = {"widths": (8, 8), "depths": (1, 1), "fine_width": 8, "fine_hidden": 4, "fine_depth": 2}


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def two_scale(*, noise_level: bool = True) -> TwoScale:
    network = build_network("twoscale", {**SMALL, "noise_level": noise_level})
    assert isinstance(network, TwoScale)
    return network


def repeated(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=2, mode="nearest")


def test_without_training_the_cells_have_the_means_of_the_coarse_result() -> None:
    network = FineScale(3, True, 8, 4, 2)
    photo, coarse = rand(1, 3, 20, 28), rand(1, 3, 10, 14, seed=1)
    output = network(torch.cat([photo, torch.full((1, 1, 20, 28), 0.1), repeated(coarse)], 1))
    torch.testing.assert_close(F.avg_pool2d(output, 2), coarse)
    fine, own = (x - repeated(F.avg_pool2d(x, 2)) for x in (output, photo))
    torch.testing.assert_close(fine, own)


@pytest.mark.parametrize("noise_level", [False, True])
def test_the_fine_network_gets_the_photo_and_the_result_of_the_coarse_one(noise_level: bool) -> None:
    network = fill_zeros(two_scale(noise_level=noise_level)).eval()
    assert isinstance(network, TwoScale)
    x = rand(2, 3 + noise_level, 32, 48)
    half = F.avg_pool2d(x, 2)
    half[:, 3:] *= 0.75
    torch.testing.assert_close(halve(x, 3), half)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network.fine(torch.cat([x, repeated(network.coarse(half))], 1)))


def test_the_last_block_and_the_last_layer_are_one_convolution() -> None:
    network = fill_zeros(FineScale(3, True, 8, 4, 2)).eval()
    assert isinstance(network, FineScale)
    photo, level, coarse = rand(1, 3, 20, 28), torch.full((1, 1, 20, 28), 0.1), rand(1, 3, 10, 14, seed=1)
    cells = [F.pixel_unshuffle(photo, 2), coarse, F.avg_pool2d(5 * level, 2)]
    with torch.no_grad():
        change = network.last(network.body(network.head(torch.cat(cells, 1))))
        expected = photo + repeated(coarse - F.avg_pool2d(photo, 2)) + F.pixel_shuffle(change, 2)
        torch.testing.assert_close(network(torch.cat([photo, level, repeated(coarse)], 1)), expected)
    assert change.abs().max() > 0.01


def test_a_pixel_depends_on_its_receptive_field_alone() -> None:
    network = fill_zeros(FineScale(3, True, 8, 4, 2)).eval()
    described = as_network(network)
    assert has_coarse_input(described)
    side, at, radius = 64, 31, described.receptive_field_radius
    x = rand(1, 7, side, side).requires_grad_()
    network(x)[0, :, at, at].sum().backward()
    assert x.grad is not None
    reached = (x.grad[0] != 0).any(0).nonzero()
    assert int((reached - at).abs().max()) <= radius
    assert int((reached - at).abs().max()) >= radius - 1


def test_the_weights_of_a_resunet_become_those_at_half_size() -> None:
    first = fill_zeros(build_network("resunet", {"widths": (8, 8), "depths": (1, 1), "noise_level": True}))
    network = two_scale()
    network.load_state_dict(network.adopt(first.state_dict()))
    photo = rand(1, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(F.avg_pool2d(network(photo), 2), first(halve(photo, 3)))
    own = two_scale().state_dict()
    assert all(torch.equal(network.adopt(own)[name], weight) for name, weight in own.items())


def test_the_noise_level_may_be_new_or_dropped() -> None:
    plain, with_level = (fill_zeros(two_scale(noise_level=wanted)) for wanted in (False, True))
    photo, level = rand(1, 3, 32, 32), torch.full((1, 1, 32, 32), 5 / 255)
    new, dropped = two_scale(), two_scale(noise_level=False)
    new.load_state_dict(new.adopt(plain.state_dict()))
    dropped.load_state_dict(dropped.adopt(with_level.state_dict()))
    with torch.no_grad():
        torch.testing.assert_close(new(torch.cat([photo, level], 1)), plain(photo))
        expected = with_level.fine(torch.cat([photo, level, repeated(photo[..., ::2, ::2])], 1))
        torch.testing.assert_close(dropped.fine(torch.cat([photo, repeated(photo[..., ::2, ::2])], 1)), expected)


def test_it_does_not_enlarge() -> None:
    with pytest.raises(ModelError, match="--from fast"):
        build_network("twoscale", {**SMALL, "scale": 2})

"""DBSN is the published network, and it is blind."""

import pytest
import torch
from torch import nn

from nsp_cli.errors import ModelError
from nsp_cli.networks import build_network
from nsp_cli.networks.dbsn import blind_average
from tests.conftest import tiny_network


def test_the_published_parameter_count() -> None:
    assert sum(p.numel() for p in build_network("dbsn", {}).parameters()) == 3_750_723


def test_ap_bsn_s_own_tail_and_activation() -> None:
    network = build_network("dbsn", {"scale": 1, "variant": "apbsn"})
    assert [layer.out_channels for layer in network.tail if isinstance(layer, nn.Conv2d)] == [128, 64, 64]
    assert not any(isinstance(module, nn.GELU) for module in network.modules())
    for wrong in ({"scale": 2, "variant": "apbsn"}, {"variant": "n2v"}):
        with pytest.raises(ModelError, match="of variant nsp"):
            build_network("dbsn", wrong)


@pytest.mark.parametrize("residual", [False, True])
def test_a_network_may_compute_with_values_of_0_to_255(residual: bool) -> None:
    """As AP-BSN's release does: f(255·x) / 255, and the blind average of the photo itself."""
    photo = torch.rand(1, 3, 9, 9)
    plain, scaled = (tiny_network(scale=1, residual=residual, **more) for more in ({}, {"value_range": 255.0}))
    base = blind_average(photo) if residual else torch.zeros(())
    with torch.no_grad():
        head = plain.head[0].weight
        expected = plain(photo) - base
        assert not torch.allclose(scaled(photo) - base, expected, atol=1e-3)
        head *= 255
        assert torch.allclose(scaled(photo) - base, (plain(photo) - base) / 255, atol=1e-6)
    with pytest.raises(ModelError, match="value_range"):
        tiny_network(value_range=0)


def test_the_names_of_the_weights_stay_those_of_the_files_that_there_are() -> None:
    names = {name.removesuffix(".weight") for name in tiny_network().state_dict() if name.endswith(".weight")}
    branch = ["0", "2", "4", "6.body.0", "6.body.2", "7"]
    branches = {f"branches.{k}.{layer}" for k in range(2) for layer in branch}
    assert names == {"head.0", *branches, "tail.0", "tail.2", "tail.5", "tail.7", "last"}


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("residual", [False, True])
def test_no_output_depends_on_the_pixel_that_it_sits_on(scale: int, residual: bool) -> None:
    network = tiny_network(scale=scale, residual=residual, depth=3)
    for y, x in [(12, 13), (0, 0), (24, 7)]:
        photo = torch.rand(1, 3, 25, 25, requires_grad=True)
        block = network(photo)[..., y * scale : (y + 1) * scale, x * scale : (x + 1) * scale]
        assert block.shape[-2:] == (scale, scale)
        block.square().sum().backward()
        assert photo.grad is not None
        assert (photo.grad[..., y, x] == 0).all()
        # The test can fail: the pixel's neighbours, and far ones, are seen.
        assert (photo.grad[..., abs(y - 1), x] != 0).all()
        assert (photo.grad != 0).sum() > 100


def test_outputs_depend_on_nothing_outside_the_stated_radius() -> None:
    network = tiny_network(depth=2)
    side = 2 * network.receptive_field_radius + 5
    photo = torch.rand(1, 3, side, side, requires_grad=True)
    middle = side // 2
    network(photo)[..., 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2].sum().backward()
    assert photo.grad is not None
    rows = photo.grad.abs().sum((0, 1, 3)).nonzero()
    assert middle - rows.min() == network.receptive_field_radius
    assert rows.max() - middle == network.receptive_field_radius


def test_the_mask_is_in_the_graph_and_not_in_the_weight() -> None:
    network = tiny_network()
    before = {name: p.clone() for name, p in network.named_parameters()}
    network(torch.rand(1, 3, 9, 9))
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters())
    assert not any("mask" in name for name in network.state_dict())


def test_a_new_residual_network_is_the_blind_average() -> None:
    photo = torch.rand(1, 3, 8, 9)
    expected = nn.functional.interpolate(blind_average(photo), scale_factor=2)
    assert torch.equal(build_network("dbsn", {"width": 8, "depth": 1, "residual": True})(photo), expected)


def test_the_blind_average_of_a_flat_photo_is_flat_up_to_the_border() -> None:
    assert torch.allclose(blind_average(torch.full((1, 3, 5, 7), 0.3)), torch.full((1, 3, 5, 7), 0.3))


@pytest.mark.parametrize("scale", [1, 2, 3, 5])
def test_any_width_depth_and_scale(scale: int) -> None:
    network = build_network("dbsn", {"width": 10, "depth": 2, "scale": scale, "channels": 1})
    assert network(torch.rand(2, 1, 7, 5)).shape == (2, 1, 7 * scale, 5 * scale)


def test_gradients_reach_the_first_layer_of_a_deep_network() -> None:
    network = build_network("dbsn", {"width": 32})
    network(torch.rand(1, 3, 24, 24)).mean().backward()
    first, last = network.head[0].weight.grad, network.last.weight.grad
    assert first.norm() > 1e-3 * last.norm()


def test_unknown_names_and_arguments_are_model_errors() -> None:
    with pytest.raises(ModelError, match="no network 'dncnn'"):
        build_network("dncnn", {})
    with pytest.raises(ModelError, match="does not take"):
        build_network("dbsn", {"colour": 3})

"""TBSN: the published size, exact blindness, and the paper's masked attention in the form of phases."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks import build_network
from nsp_cli.networks.tbsn import ChannelAttention, WindowAttention, _feed_forward
from nsp_cli.ops.pd import pd_merge, pd_split

TINY = {"dim": 8, "blocks": (1, 1, 1), "refinement": 1}


def tiny(**arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build_network("tbsn", {**TINY, **arguments}).eval()


def by_phases(module: nn.Module, x: Tensor) -> Tensor:
    phases = pd_split(x, 2)
    return pd_merge(module(phases.flatten(0, 1)).unflatten(0, phases.shape[:2]), 2)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("y", "x"), [(0, 0), (15, 14), (36, 32), (8, 31)])
def test_no_output_depends_on_the_pixel_that_it_sits_on(scale: int, y: int, x: int) -> None:
    """Through convolutions, both attentions, patch-unshuffle and the extension of the sides."""
    photo = torch.rand(1, 3, 37, 33, requires_grad=True)
    out = tiny(scale=scale)(photo)
    assert out.shape == (1, 3, 37 * scale, 33 * scale)
    out[..., y * scale : (y + 1) * scale, x * scale : (x + 1) * scale].sum().backward()
    assert photo.grad is not None
    seen = photo.grad[0].abs().sum(0) > 0
    assert not seen[y % 2 :: 2, x % 2 :: 2].any()  # nor on any other pixel of its phase
    assert seen[abs(y - 1), x]
    assert seen[y, abs(x - 1)]
    assert seen.float().mean() > 0.6


def test_convolutions_of_phases_are_those_of_dilation_two() -> None:
    torch.manual_seed(0)
    module, x = _feed_forward(6), torch.rand(2, 6, 10, 12)
    first, _, second = module
    dilated = F.conv2d(F.gelu(F.conv2d(x, first.weight, padding=2, dilation=2)), second.weight, padding=2, dilation=2)
    assert torch.allclose(by_phases(module, x), dilated, atol=1e-6)


def test_attention_in_windows_of_phases_is_the_published_one_under_its_mask() -> None:
    """Windows of 8, keys from windows of 12, relative positions from tables of 23, −∞ on every odd offset."""
    torch.manual_seed(0)
    attention, x = WindowAttention(6, heads=2).eval(), torch.rand(1, 6, 16, 24)
    with torch.no_grad():
        q = attention.query(x)[0].unflatten(0, (2, 16)) / 4
        around = F.pad(attention.key_value(x)[0], (2, 2, 2, 2)).unflatten(0, (2, 2, 16))
        merged = torch.zeros(2, 16, 16, 24)
        for y in range(16):
            for column in range(24):
                top, left = y // 8 * 8, column // 8 * 8
                key, value = around[..., top : top + 12, left : left + 12]  # (heads, 16, 12, 12) each
                dy, dx = torch.arange(12) - 2 - y % 8, torch.arange(12) - 2 - column % 8
                position = attention.positions[0, dy + 11].T[:, :, None] + attention.positions[1, dx + 11].T[:, None, :]
                logits = torch.einsum("hd,hdyx->hyx", q[:, :, y, column], key + position)
                odd = (dy % 2 == 1)[:, None] | (dx % 2 == 1)
                weights = logits.masked_fill(odd, -torch.inf).flatten(1).softmax(1)
                merged[:, :, y, column] = torch.einsum("hk,hdk->hd", weights, value.flatten(2))
        published = attention.project(merged.flatten(0, 1)[None])
        assert torch.allclose(by_phases(attention, x), published, atol=1e-6)


def test_channels_attend_to_channels_over_all_pixels() -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(8, heads=2)
    x = torch.rand(1, 8, 6, 7, requires_grad=True)
    attention(x)[..., 0, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


@torch.no_grad()
def test_statistics_of_the_photo_are_those_of_attention_that_is_given_all_phases_at_once() -> None:
    """The published form: a depth-wise convolution of dilation two, and sums over all pixels of the photo."""
    torch.manual_seed(0)
    attention, x = ChannelAttention(8, heads=2, joined=4), torch.rand(2, 8, 12, 10)
    mix, depthwise = attention.qkv
    qkv = F.conv2d(F.conv2d(x, mix.weight), depthwise.weight, padding=2, dilation=2, groups=24)
    q, k, v = qkv.unflatten(1, (3, 2, 4)).flatten(4).unbind(1)
    weights = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * attention.temperature
    published = F.conv2d((weights.softmax(-1) @ v).reshape(x.shape), attention.project.weight)
    assert torch.allclose(by_phases(attention, x), published, atol=1e-6)
    assert not torch.allclose(by_phases(ChannelAttention(8, heads=2), x), published, atol=1e-3)


def test_statistics_of_the_photo_let_a_pixel_reach_its_own_output() -> None:
    for statistics, leaks in (("phase", False), ("photo", True)):
        photo = torch.rand(1, 3, 32, 32, requires_grad=True)
        tiny(scale=1, statistics=statistics)(photo)[..., 15, 14].sum().backward()
        assert photo.grad is not None
        assert bool(photo.grad[0, :, 15, 14].abs().sum() > 0) is leaks


def test_the_plain_tail_is_one_convolution_and_does_not_enlarge() -> None:
    network = tiny(scale=1, tail="plain")
    assert (len(network.tail), network.last.weight.shape) == (0, (3, 16, 1, 1))
    assert network(torch.rand(1, 3, 20, 33)).shape == (1, 3, 20, 33)
    with pytest.raises(ModelError, match="scale 1, got 2"):
        tiny(tail="plain")
    with pytest.raises(ModelError, match="statistics"):
        tiny(statistics="row")


def test_gradients_reach_the_first_layer() -> None:
    network = tiny()
    network(torch.rand(1, 3, 32, 32)).mean().backward()
    assert network.head.weight.grad.norm() > 1e-3 * network.last.weight.grad.norm()


def test_a_network_may_compute_with_values_of_0_to_255() -> None:
    """As NSP's release does: f(255·x) / 255, with photos in [0, 1] outside."""
    plain, scaled = tiny(scale=2), tiny(scale=2, value_range=255)
    scaled.load_state_dict(plain.state_dict())
    photo = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        assert torch.equal(scaled(photo), plain(255.0 * photo) / 255.0)
        assert not torch.allclose(scaled(photo), plain(photo), atol=1e-3)  # its norms have an epsilon
    with pytest.raises(ModelError, match="value_range"):
        tiny(value_range=0)

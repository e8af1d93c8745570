"""AT-BSN is the published network; its blind spot has the stated size for every k and every phase of its poolings."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nsp_cli.networks import build_network
from nsp_cli.networks.atbsn import ATBSN

LEVELS = 2
CELL = 2**LEVELS
WIDTH = 8


def tiny(**arguments: int) -> ATBSN:
    torch.manual_seed(0)
    network = ATBSN(**{"width": WIDTH, "levels": LEVELS, **arguments})
    torch.nn.init.normal_(network.last.weight)  # a residual network starts with zeros
    return network


def seen_from(network: ATBSN, y: int, x: int, sides: tuple[int, int], blind_spot_size: int) -> Tensor:
    """(h, w): whether the output block of the pixel at (y, x) depends on each pixel, by gradient."""
    photo = torch.rand(1, 3, *sides, requires_grad=True)
    t = network.scale
    network(photo, blind_spot_size=blind_spot_size)[..., y * t : (y + 1) * t, x * t : (x + 1) * t].sum().backward()
    assert photo.grad is not None
    return photo.grad[0].abs().sum(0) > 0


def test_the_published_parameter_count() -> None:
    def size(**arguments: int) -> int:
        return sum(p.numel() for p in build_network("atbsn", arguments).parameters())

    assert size() == 1_268_547
    assert size(scale=2) == 1_379_427  # the second 1×1 convolution gives t² times as many channels


@pytest.mark.parametrize(("scale", "residual"), [(1, False), (2, False), (1, True)])
@pytest.mark.parametrize("k", range(6))
def test_the_blind_spot_is_exact_at_every_phase(scale: int, residual: bool, k: int) -> None:
    """Never a pixel in it, always the middle of its rim, and each pixel of its rim from one phase or another."""
    network = tiny(scale=scale, residual=residual)
    rims: list[Tensor] = []
    for y in range(20, 20 + CELL):
        for x in range(24, 24 + CELL):
            seen = seen_from(network, y, x, (44, 52), k)
            hidden = seen[y - k + 1 : y + k, x - k + 1 : x + k]
            assert not hidden.any()
            rim = seen[y - k : y + k + 1, x - k : x + k + 1]
            near = slice(max(k - 2, 0), k + 3)  # as far as the two convolutions of full size reach
            for edge in (rim[0], rim[-1], rim[:, 0], rim[:, -1]):
                assert edge[near].all()
            rims.append(rim)
    everywhere = torch.stack(rims).any(0)
    assert int(everywhere.sum()) == (2 * k + 1) ** 2 - (max(2 * k - 1, 0)) ** 2


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_a_new_residual_network_is_the_average_of_the_rim(k: int) -> None:
    photo = torch.rand(1, 3, 16, 24)
    result = ATBSN(width=WIDTH, levels=LEVELS, residual=True)(photo, blind_spot_size=k)
    y, x = 7, 11
    rim = [photo[..., y - k, x], photo[..., y + k, x], photo[..., y, x - k], photo[..., y, x + k]]
    torch.testing.assert_close(result[..., y, x], torch.stack(rim).mean(0))
    corner = (photo[..., k, 0] + photo[..., 0, k]) / 2 if k else photo[..., 0, 0]
    torch.testing.assert_close(result[..., 0, 0], corner)
    assert torch.equal(result, photo) == (k == 0)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (3, 43), (39, 0), (38, 42), (0, 17), (21, 43)])
def test_the_blind_spot_is_blind_at_the_border(y: int, x: int) -> None:
    for k in (1, 2, 5):
        seen = seen_from(tiny(), y, x, (40, 44), k)
        assert not seen[max(y - k + 1, 0) : y + k, max(x - k + 1, 0) : x + k].any()
        assert seen.any()


def test_nothing_outside_the_stated_radius_is_seen() -> None:
    for k in (0, 3):
        network = tiny(blind_spot_size=k)
        assert network.receptive_field_radius == network.half_plane_radius + k
        side = -(-2 * (network.receptive_field_radius + CELL) // CELL) * CELL
        reached = 0
        for phase in range(CELL):
            middle = side // 2 + phase - CELL // 2
            seen = seen_from(network, middle, middle, (side, side), k).nonzero()
            reached = max(reached, int((seen - middle).abs().max()))
        assert reached == network.receptive_field_radius


def test_k_is_an_argument_and_the_module_knows_a_default() -> None:
    photo = torch.rand(1, 3, 16, 24)
    network = tiny(blind_spot_size=5)
    assert torch.equal(network(photo), network(photo, blind_spot_size=5))
    assert not torch.equal(network(photo), network(photo, blind_spot_size=0))
    # k has no weights of its own
    assert torch.equal(network(photo, blind_spot_size=2), tiny()(photo, blind_spot_size=2))


def test_a_shift_beyond_a_small_photo_leaves_nothing_to_see() -> None:
    network = tiny()
    first, second = (network(torch.rand(1, 3, CELL, CELL), blind_spot_size=CELL) for _ in range(2))
    assert torch.equal(first, second)


def test_the_four_turns_share_one_u_net_and_stay_in_their_order() -> None:
    """Turning the photo turns the features: with a fusion that treats all four alike the output turns with it."""
    network = tiny()
    with torch.no_grad():
        first = network.fuse[0]
        quarter = first.weight[:, : 2 * WIDTH].clone()  # pyright: ignore[reportIndexIssue]
        first.weight.copy_(quarter.repeat(1, 4, 1, 1))  # pyright: ignore[reportCallIssue]
        photo = torch.rand(1, 3, 16, 24)
        for k in (0, 2):
            out = network(photo, blind_spot_size=k)
            for turns in (1, 2, 3):
                turned = network(torch.rot90(photo, turns, (2, 3)), blind_spot_size=k)
                torch.testing.assert_close(turned, torch.rot90(out, turns, (2, 3)), rtol=0, atol=1e-5)

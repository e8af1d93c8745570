"""The small gated network: where it starts, and how far it sees."""

import pytest
import torch
from torch import nn

from nsp_cli.networks import build_network


def test_a_new_one_is_the_identity() -> None:
    photo = torch.rand(2, 3, 16, 24)
    assert torch.equal(build_network("nafnet", {})(photo), photo)


@pytest.mark.parametrize("depths", [(1, 1), (1, 2), (1, 1, 2)])
def test_outputs_depend_on_what_lies_within_the_stated_radius_and_no_more(depths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = build_network("nafnet", {"widths": (4,) * len(depths), "depths": depths})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    side = -(-(2 * network.receptive_field_radius + 12) // network.size_multiple) * network.size_multiple
    reached = 0
    for middle in range(side // 2, side // 2 + network.size_multiple):
        photo = torch.rand(1, 3, side, side, requires_grad=True)
        network(photo)[..., middle, middle].sum().backward()
        assert photo.grad is not None
        rows = photo.grad.abs().sum((0, 1, 3)).nonzero()
        reached = max(reached, int(middle - rows.min()), int(rows.max() - middle))
    assert reached <= network.receptive_field_radius
    assert reached >= network.receptive_field_radius - 2 * network.size_multiple

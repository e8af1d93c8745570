"""APR: two different neighbours for each pixel, and the loss of the paper."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods import build_method
from nsp_cli.methods.apr import APR, choose_neighbours, gather_neighbours
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from nsp_cli.networks.atbsn import ATBSN
from tests.methods.cases import Case, Trial

CASES = [
    Case(
        method="apr",
        method_args={"margin": 16},
        network="atbsn",
        network_args={"width": 6, "levels": 2},
        blind_spot=9,
        size=1_268_547,
        patch=40,
    ),
]

TRIALS = [
    Trial("apr", "atbsn", {"width": 6, "levels": 1}, {"train_shift": 3}, steps=40, lr=2e-2),
    Trial("apr", "atbsn", {"width": 6, "levels": 1}, {"train_shift": 3, "neighbours": False}, 40, 2e-2, "at-bsn"),
]

H, W = 12, 9


def tiny() -> ATBSN:
    torch.manual_seed(0)
    network = build_network("atbsn", {"width": 6, "levels": 2, **APR().network_args})
    assert isinstance(network, ATBSN)
    return network.eval()


def places(indices: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column that each pixel of (B, H·W) is replaced from, less its own, (B, H, W) each."""
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    chosen = indices.view(-1, H, W)
    return chosen // W - rows, chosen % W - columns


def test_two_different_pixels_of_the_window() -> None:
    first, second = choose_neighbours(torch.zeros(200, 3, H, W), Generator().manual_seed(0))
    assert (first != second).all()
    for indices in (first, second):
        dy, dx = places(indices)
        inner = (slice(None), slice(1, -1), slice(1, -1))
        assert dy[inner].abs().max() == 1
        assert dx[inner].abs().max() == 1
        # At the border the window lies inside: three rows or columns all the same.
        assert set(dy[:, 0].flatten().tolist()) == {0, 1, 2}
        assert set(dx[:, :, -1].flatten().tolist()) == {-2, -1, 0}


def test_every_ordered_pair_of_a_window_is_as_likely_as_any_other() -> None:
    first, second = choose_neighbours(torch.zeros(400, 3, H, W), Generator().manual_seed(1))
    inner = (slice(None), slice(1, -1), slice(1, -1))
    (ay, ax), (by, bx) = places(first), places(second)
    pairs = 9 * (3 * (ay + 1) + ax + 1) + (3 * (by + 1) + bx + 1)
    counts = torch.bincount(pairs[inner].flatten(), minlength=81).float()
    assert int((counts > 0).sum()) == 72
    expected = pairs[inner].numel() / 72
    assert ((counts[counts > 0] - expected).abs() < 6 * expected**0.5).all()


def test_all_channels_of_a_pixel_are_replaced_together() -> None:
    photo = torch.arange(float(H * W)).view(1, 1, H, W) + torch.tensor([0.0, 1000.0, 2000.0]).view(1, 3, 1, 1)
    first, _ = choose_neighbours(photo, Generator().manual_seed(0))
    result = gather_neighbours(photo, first)
    assert torch.equal(result[:, 0].flatten(1), first.float())
    assert torch.equal(result[:, 1] - result[:, 0], torch.full((1, H, W), 1000.0))
    assert torch.equal(result[:, 2] - result[:, 1], torch.full((1, H, W), 1000.0))


class Third(nn.Module):
    """A network whose answer is known: a third of its input, times a weight that is one."""

    size_multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight / 3


@pytest.mark.parametrize("balance", [0.0, 4.0])
def test_the_loss_is_the_paper_s(balance: float) -> None:
    photo, network = torch.rand(2, 3, H, W), Third()
    loss = APR(balance=balance).loss(network, photo, Generator().manual_seed(3))
    first, second = (gather_neighbours(photo, i) for i in choose_neighbours(photo, Generator().manual_seed(3)))
    error = first / 3 - second
    expected = error.abs().mean() + balance * (error - (first / 3 - second / 3)).abs().mean()
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    # Only the pass on h1 has a gradient: the weight moves the first term's error, and nothing of the clean photo.
    moved = first / 3 - second / 3
    gradient = (error.sign() * first / 3).mean() + balance * ((error - moved).sign() * first / 3).mean()
    assert network.weight.grad is not None
    torch.testing.assert_close(network.weight.grad, gradient)


def test_without_neighbours_the_photo_is_input_and_target() -> None:
    photo, network = torch.rand(2, 3, H, W), Third()
    loss = APR(neighbours=False, balance=9.0).loss(network, photo, Generator())
    torch.testing.assert_close(loss.detach(), (photo / 3 - photo).abs().mean())


def test_the_blind_spot_of_test_time_is_chosen_at_test_time() -> None:
    network, photo = tiny(), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        for k in range(6):
            pipeline = APR(test_shift=k).pipeline(network, Task.DENOISE)
            assert torch.equal(pipeline(photo), network(photo, blind_spot_size=k))
            assert pipeline.spec.halo >= network.half_plane_radius + k
    assert [view["test_shift"] for view in APR().inference_variants] == [0, 1, 2, 3, 4, 5]


def test_a_margin_is_reflected_on_all_four_sides_at_test_time() -> None:
    network, photo = tiny(), torch.rand(1, 3, 32, 24)
    extended = F.pad(photo, (16, 16, 16, 16), mode="reflect")
    with torch.no_grad():
        result = APR(test_shift=2, margin=16).pipeline(network, Task.DENOISE)(photo)
        assert torch.allclose(result, network(extended, blind_spot_size=2)[..., 16:-16, 16:-16], atol=1e-6)


def test_wrong_settings_are_errors() -> None:
    with pytest.raises(UsageError, match="test_shift must be a whole number from 0 to 5, got 6"):
        APR(test_shift=6)
    with pytest.raises(ModelError, match="test_shift must be a whole number from 0 to 5, got 6"):
        build_method("apr", {"test_shift": 6})
    with pytest.raises(UsageError, match="train_shift must be a whole number from 1 to 16, got 0"):
        APR(train_shift=0)
    with pytest.raises(ModelError, match="does not take"):
        build_network("unet", APR().network_args)

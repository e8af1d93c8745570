"""RD: every pixel is recharged exactly once, in equal parts, and the loss is the sum over the targets."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.rd import RD, recharge
from tests.methods.cases import TINY_UNET, Case, Trial

CASES = [
    Case(
        method="rd",
        method_args={},
        network="unet",
        network_args={"width": 6, "levels": 2},
        size=1_003_011,
    ),
    Case(
        method="rd",
        method_args={"coarse_chroma": True},
        network="resunet",
        network_args={"widths": (8, 8), "depths": (1, 1)},
        size=1_044_700,
    ),
]

TRIALS = [
    Trial("rd", "unet", TINY_UNET, steps=120),
]


class Same(nn.Module):
    scale, size_multiple = 1, 1

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("count", [2, 6])
def test_each_pixel_is_recharged_in_one_target_and_each_target_in_as_many(count: int) -> None:
    noisy = torch.ones(3, 3, 12, 10)
    result = recharge(noisy, torch.zeros(3, count, 3, 12, 10), Generator().manual_seed(0))
    assert (result.sum(1) == 1).all()  # disjoint, and together the whole photo
    assert (result.sum((3, 4)) == 120 // count).all()
    assert torch.equal(result[:, :, 0], result[:, :, 2])
    assert not torch.equal(result[0], result[1])


def test_sets_differ_by_one_pixel_at_most_where_they_cannot_be_equal() -> None:
    result = recharge(torch.ones(1, 1, 5, 5), torch.zeros(1, 6, 1, 5, 5), Generator())
    assert sorted(result.sum((2, 3, 4)).flatten().tolist()) == [4, 4, 4, 4, 4, 5]


def test_recharged_pixels_are_the_noisy_photo_s_and_the_others_the_teacher_s() -> None:
    noisy, targets = torch.rand(2, 3, 8, 8), torch.rand(2, 4, 3, 8, 8) + 1
    result = recharge(noisy, targets, Generator())
    own = result < 1
    assert torch.equal(result[own], noisy.unsqueeze(1).expand_as(result)[own])
    assert torch.equal(result[~own], targets[~own])


def test_the_loss_is_the_sum_over_targets() -> None:
    noisy, first, second = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.9)
    batch = torch.cat([noisy, first, second], 1)
    plain = RD(recharge=False).loss(Same(), batch, Generator())
    torch.testing.assert_close(plain, torch.tensor(0.1 + 0.4))
    # Half of each target is the photo itself, which this student repeats.
    torch.testing.assert_close(RD().loss(Same(), batch, Generator()), torch.tensor(0.05 + 0.2))


def test_a_student_does_not_enlarge() -> None:
    student = Same()
    student.scale = 2
    with pytest.raises(UsageError, match=r"add `network_args\.scale=1`"):
        RD().loss(student, torch.rand(1, 9, 8, 8), Generator())


def test_one_target_cannot_be_recharged() -> None:
    with pytest.raises(UsageError, match="two targets at least"):
        RD().loss(Same(), torch.rand(1, 6, 8, 8), Generator())
    RD(recharge=False).loss(Same(), torch.rand(1, 6, 8, 8), Generator())

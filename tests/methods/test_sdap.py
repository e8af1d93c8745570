"""SDAP's pairs: sub-images of one cell grid, each the target of another."""

import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.sdap import SDAP
from nsp_cli.model.spec import Task
from tests.conftest import tiny_network
from tests.methods.cases import TINY_BLIND, Case, Trial, numbered

CASES = [
    Case(
        method="sdap",
        method_args={"second_pass": True},
        network="dbsn",
        network_args={"width": 8, "depth": 1, "residual": True},
        blind_spot=1,
        size=3_874_563,
        size_args={"scale": 1},
        lr=1e-2,
    ),
]

TRIALS = [
    Trial("sdap", "dbsn", TINY_BLIND, {"inputs": 8}, steps=100),
]


def test_each_sub_image_predicts_the_next_and_the_last_the_first() -> None:
    inputs, targets = SDAP().pairs(numbered(2, 30, 35), Generator().manual_seed(0))
    assert inputs.shape == targets.shape == (2, 25, 1, 6, 7)
    assert torch.equal(targets, inputs.roll(-1, 1))


def test_all_sub_images_use_every_pixel_once_and_a_pair_shares_none() -> None:
    photos = numbered(2, 30, 30)
    inputs, targets = SDAP().pairs(photos, Generator().manual_seed(0))
    for b in range(2):
        assert torch.equal(inputs[b].flatten().sort().values, photos[b].flatten())
        for k in range(25):
            assert not set(inputs[b, k].flatten().tolist()) & set(targets[b, k].flatten().tolist())


def test_a_sub_image_has_one_pixel_of_every_cell_not_always_the_same_one() -> None:
    inputs, _ = SDAP().pairs(numbered(1, 30, 30), Generator().manual_seed(0))
    rows, columns = inputs[0, 0, 0] // 30, inputs[0, 0, 0] % 30
    assert torch.equal(rows // 5, torch.arange(6.0).unsqueeze(1).expand(6, 6))
    assert torch.equal(columns // 5, torch.arange(6.0).expand(6, 6))
    assert len(set((5 * (rows % 5) + columns % 5).flatten().tolist())) > 5


def test_fewer_inputs_are_the_first_of_the_same_pairs() -> None:
    photos = numbered(1, 30, 30)
    few, next_ones = SDAP(inputs=3).pairs(photos, Generator().manual_seed(4))
    inputs, targets = SDAP().pairs(photos, Generator().manual_seed(4))
    assert torch.equal(few, inputs[:, :3])
    assert torch.equal(next_ones, targets[:, :3])


def test_the_loss_is_the_mean_over_all_pairs() -> None:
    class Half(nn.Module):
        scale = 1

        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * x

    photos = torch.rand(2, 3, 30, 30)
    inputs, targets = SDAP().pairs(photos, Generator().manual_seed(3))
    loss = SDAP().loss(Half(), photos, Generator().manual_seed(3))
    assert torch.allclose(loss, (0.5 * inputs - targets).abs().mean())


@torch.no_grad()
def test_the_second_pass_is_the_network_on_the_result() -> None:
    network, photo = tiny_network(scale=1), torch.rand(1, 3, 32, 32)
    once = SDAP().pipeline(network, Task.DENOISE)(photo)
    twice = SDAP(second_pass=True).pipeline(network, Task.DENOISE)(photo)
    assert torch.allclose(twice, network(once), atol=1e-6)


def test_wrong_settings_are_usage_errors() -> None:
    for wrong in ({"stride": 1}, {"test_stride": 0}, {"inputs": -1}):
        with pytest.raises(UsageError):
            SDAP(**wrong)

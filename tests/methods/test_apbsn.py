"""AP-BSN's loss and settings; its inference is in test_pd_pipeline."""

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods.apbsn import APBSN
from nsp_cli.methods.pd_pipeline import Layout
from nsp_cli.model.spec import Task
from nsp_cli.ops.padding import zero_pad_to_multiple
from nsp_cli.ops.pd import from_mosaic, pd_split, to_mosaic
from tests.conftest import tiny_network
from tests.methods.cases import TINY_BLIND, TINY_TBSN, Case, Trial

CASES = [
    Case(
        method="apbsn",
        method_args={"refine": 2, "refine_pad": 2, "refine_masks": "channel", "extend": "zeros"},
        network="dbsn",
        network_args={"width": 8, "depth": 1, "variant": "apbsn", "residual": True},
        blind_spot=1,
        size=3_656_131,
        size_args={"scale": 1, "variant": "apbsn"},
    ),
    Case(
        method="apbsn",
        method_args={"inputs": 1, "refine": 0},
        network="tbsn",
        network_args=TINY_TBSN,
        blind_spot=1,
        size=12_783_644,
        size_args={"scale": 1},
        seam=0.01,
    ),
]

TRIALS = [
    Trial("apbsn", "dbsn", TINY_BLIND, {"inputs": 8, "refine": 0}, steps=100),
]


class Darker(nn.Module):
    scale, receptive_field_radius, size_multiple, activation_floats_per_pixel = 1, 1, 1, 8

    def forward(self, x: Tensor) -> Tensor:
        return x - 0.25 * x.square()


def test_the_loss_compares_every_sub_image_with_what_becomes_of_it() -> None:
    photos = torch.rand(2, 3, 40, 43)
    subs = pd_split(photos[..., :40], 5)
    assert torch.allclose(APBSN().loss(Darker(), photos, Generator()), 0.25 * subs.square().mean())


def test_settings_reach_the_pipeline() -> None:
    network = tiny_network(scale=1)
    pipeline = APBSN(test_stride=3, layout="mosaic", refine=4).pipeline(network, Task.DENOISE)
    assert (pipeline.stride, pipeline.layout, pipeline.passes) == (3, Layout.MOSAIC, 4)
    assert APBSN().pipeline(network, Task.DENOISE).passes == 8
    released = APBSN(pd_pad=2, refine_pad=2, refine_masks="channel", extend="zeros").pipeline(network, Task.DENOISE)
    assert (released.pd_pad, released.refine_pad, released.extend) == (2, 2, zero_pad_to_multiple)
    assert released.replaced.shape == (8, 3, 16, 16)


def test_training_on_mosaics_sees_all_sub_images_in_one_picture_with_zeros_around_each() -> None:
    network, photos = tiny_network(scale=1), torch.rand(2, 3, 40, 43)
    method = APBSN(train_layout="mosaic", pd_pad=2)
    subs = pd_split(photos[..., :40], 5)
    mosaic = to_mosaic(F.pad(subs, (2, 2, 2, 2)), 5)
    assert mosaic.shape == (2, 3, 60, 60)
    result = from_mosaic(network(mosaic), 5)[..., 2:-2, 2:-2]
    assert torch.allclose(method.loss(network, photos, Generator()), (result - subs).abs().mean())
    with pytest.raises(UsageError, match="inputs must be 0"):
        APBSN(train_layout="mosaic", inputs=2)


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"stride": 0}, {"test_stride": 0}, {"refine": -1}, {"inputs": -1}, {"layout": "row"}):
        with pytest.raises(UsageError):
            APBSN(**wrong)
    with pytest.raises(ModelError, match="scale 1"):
        APBSN().loss(tiny_network(scale=2), torch.rand(1, 3, 40, 40), Generator())

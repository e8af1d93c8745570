"""Coarse chroma: what it takes from the photo at half its size, and what it leaves as it was."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.methods.base import PlainPipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.spec import Task
from nsp_cli.ops.luma import chroma, luma
from tests.conftest import tiny_network


class Blur(nn.Module):
    """A network that averages (2·radius + 1)² pixels; radius 0 returns its input."""

    scale, size_multiple, activation_floats_per_pixel = 1, 2, 3

    def __init__(self, radius: int = 1) -> None:
        super().__init__()
        self.receptive_field_radius = self.radius = radius

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, [self.radius] * 4, mode="replicate")
        return F.avg_pool2d(padded, 2 * self.radius + 1, 1)


def photo(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=Generator().manual_seed(0))


def plain(radius: int = 1) -> PlainPipeline:
    return PlainPipeline(Blur(radius), Task.DENOISE, 3)


def coarse(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, 2)


def test_luma_is_that_of_the_pipeline() -> None:
    y = photo(64, 48)
    torch.testing.assert_close(luma(CoarseChroma(plain())(y)), luma(plain()(y)))


def test_a_network_that_changes_nothing_changes_nothing() -> None:
    y = photo(33, 47)
    torch.testing.assert_close(CoarseChroma(plain(0))(y), y)


def test_coarse_chroma_is_that_of_the_halved_photo_and_fine_chroma_that_of_the_pipeline() -> None:
    y = 0.5 + 0.05 * photo(64, 64)
    fine, half = plain()(y), plain()(coarse(y))
    added = CoarseChroma(plain())(y) - fine
    difference = chroma(half - coarse(fine))
    weighted = difference / (1 + (difference**2).sum(1, keepdim=True) / (12 / 255) ** 2)
    expected = F.interpolate(weighted, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(added, expected)
    assert added.abs().max() > 0.005


def test_a_thin_coloured_line_keeps_its_colour() -> None:
    y = torch.full((1, 3, 64, 64), 0.5)
    y[..., 30:32] = torch.tensor([0.9, 0.2, 0.2]).view(3, 1, 1)  # which the photo at half its size blurs away
    fine, half = plain()(y), plain()(coarse(y))
    unweighted = chroma(half - coarse(fine))
    assert unweighted.abs().max() > 0.08
    assert (CoarseChroma(plain())(y) - fine).abs().max() < 0.02


def test_blotches_of_four_pixels_become_weaker() -> None:
    noise = F.interpolate(torch.randn(1, 3, 32, 32, generator=Generator().manual_seed(1)), scale_factor=4) / 200
    y = 0.5 + chroma(noise)
    before, after = (
        (chroma(pipeline(y))[..., 8:-8, 8:-8] ** 2).mean() for pipeline in (plain(), CoarseChroma(plain()))
    )
    assert after < 0.7 * before


def test_enlarging_has_none() -> None:
    nsp = NSP(strategy="canonical", coarse_chroma=True)
    assert isinstance(nsp.pipeline(tiny_network(), Task.DENOISE), CoarseChroma)
    assert not isinstance(nsp.pipeline(tiny_network(), Task.SHUFFLE), CoarseChroma)


def test_a_noise_level_that_is_given_is_lower_in_the_halved_photo() -> None:
    class Level(nn.Module):
        """A noise-conditional network that returns its noise level in red."""

        scale, size_multiple, activation_floats_per_pixel, receptive_field_radius = 1, 2, 3, 0
        noise_level = True

        def forward(self, x: Tensor) -> Tensor:
            return x[:, 3:] * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)

    pipeline = CoarseChroma(PlainPipeline(Level(), Task.DENOISE, 3))
    assert pipeline.spec.planes == 4
    result = pipeline(torch.full((1, 4, 40, 40), 0.004))
    torch.testing.assert_close(luma(result)[0, 0, 0, 0], torch.tensor(0.299 * 0.004))
    weight = 1 / (1 + (0.001 / (4 / 255)) ** 2 * ((1 - 0.299) ** 2 + 2 * 0.299**2))  # of the red that the level lacks
    torch.testing.assert_close(chroma(result)[0, 0, 0, 0], torch.tensor((1 - 0.299) * (0.004 - weight * 0.001)))


def test_a_padded_photo_has_the_same_result() -> None:
    pipeline, y = CoarseChroma(plain()), photo(64, 48)
    assert pipeline.padding == 16  # 8 pixels at half size
    torch.testing.assert_close(pipeline.on_padded(y), pipeline(y))


def test_tiles_are_read_with_the_halo_of_the_halved_photo() -> None:
    inner, outer = plain(5).spec, CoarseChroma(plain(5)).spec
    assert outer.multiple % (2 * inner.multiple) == outer.multiple % 16 == 0
    assert outer.halo % outer.multiple == 0
    assert outer.halo > 2 * inner.halo

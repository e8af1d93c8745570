"""The coarse measure of noise: near the truth where there is anything flat, and defined everywhere."""

import cv2
import numpy as np
import pytest
import torch

from nsp_cli.noise.estimate import luma_level
from nsp_cli.ops.noise_level import append_noise_level, estimate_noise_level
from nsp_cli.simulation.camera import Camera, simulate, white_noise
from nsp_cli.simulation.scene import sample_picture

# Smooth: of faint texture this measure takes a part for noise.
CLEAN = cv2.GaussianBlur(0.1 + 0.8 * sample_picture(256, 320, np.random.default_rng(3)), (0, 0), 4)


def batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("sigma", [2, 8, 30])
def test_white_noise_is_measured(sigma: float) -> None:
    rng = np.random.default_rng(0)
    colour = white_noise(CLEAN, sigma / 255, rng)
    grey = np.clip(CLEAN[..., :1] + sigma / 255 * rng.standard_normal((256, 320, 1)), 0, 1)
    assert 255 * float(estimate_noise_level(batch(grey))) == pytest.approx(sigma, rel=0.15)
    in_luma = sigma * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert 255 * float(estimate_noise_level(batch(colour))) == pytest.approx(in_luma, rel=0.2)


@pytest.mark.parametrize("gain", [1e-3, 1.6e-2])
def test_it_agrees_with_the_measure_of_the_whole_photo(gain: float) -> None:
    noisy, _ = simulate(CLEAN.astype(np.float32), Camera(shot_gain=gain, read_noise=gain), np.random.default_rng(0))
    assert float(estimate_noise_level(batch(noisy))) == pytest.approx(luma_level(noisy) / 255, rel=0.25)


def test_each_photo_of_a_batch_has_its_own() -> None:
    rng = np.random.default_rng(0)
    noisy = [white_noise(CLEAN, sigma / 255, rng) for sigma in (3, 20)]
    both = estimate_noise_level(batch(*noisy))
    for one, picture in zip(both, noisy, strict=True):
        assert torch.allclose(one, estimate_noise_level(batch(picture))[0], rtol=1e-4)
    assert both[1] > 4 * both[0]


@pytest.mark.parametrize("picture", [torch.zeros(1, 3, 40, 40), torch.ones(1, 1, 1, 5), torch.rand(1, 3, 3, 70)])
def test_every_photo_has_a_finite_one(picture: torch.Tensor) -> None:
    level = estimate_noise_level(picture)
    assert level.shape == (1,)
    assert torch.isfinite(level).all()
    assert (level >= 0).all()


@pytest.mark.parametrize("filled", [0.0, 1.0, 0.15])
def test_black_white_and_filled_areas_say_nothing(filled: float) -> None:
    """Half of the photo looks as flat as can be, and says nothing of the other half."""
    noisy = white_noise(CLEAN, 12 / 255, np.random.default_rng(0))
    noisy[:, :160] = filled
    assert float(estimate_noise_level(batch(noisy))) == pytest.approx(
        float(estimate_noise_level(batch(noisy[:, 160:]))), rel=0.05
    )


def test_noise_in_the_dark_is_seen() -> None:
    """Where nearly every block has black pixels, those few without must not speak for all."""
    rng = np.random.default_rng(0)
    dark = np.clip(0.06 + 0.03 * rng.standard_normal((128, 128, 1)), 0, 1)
    assert float(estimate_noise_level(batch(dark))) == pytest.approx(float(np.std(dark)), rel=0.2)


def test_a_pixel_that_is_no_number_changes_little() -> None:
    noisy = batch(white_noise(CLEAN, 12 / 255, np.random.default_rng(0)))
    odd = noisy.clone()
    odd[:, :, 5, 6], odd[:, 0, 50, 60] = torch.nan, torch.inf
    assert torch.allclose(estimate_noise_level(odd), estimate_noise_level(noisy), rtol=0.05)


def test_the_plane_is_the_level_everywhere() -> None:
    photos = torch.rand(2, 3, 5, 7)
    seen = append_noise_level(photos, torch.tensor([0.1, 0.2]))
    assert torch.equal(seen[:, :3], photos)
    assert seen[:, 3].unique(dim=0).shape == (2, 5, 7)
    assert torch.equal(seen[:, 3, 4, 6], torch.tensor([0.1, 0.2]))

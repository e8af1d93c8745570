"""Estimates of noise against noise that is known."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nsp_cli.image import from_unit
from nsp_cli.image.luma import luma
from nsp_cli.noise import estimate as module
from nsp_cli.noise.estimate import NoiseEstimate, estimate, luma_level
from nsp_cli.simulation.camera import Camera, simulate, white_noise
from nsp_cli.simulation.scene import sample_picture

Picture = NDArray[np.float32]
CLEAN: Picture = sample_picture(384, 512, np.random.default_rng(3))


def true_levels(residual: Picture) -> tuple[float, float]:
    """Luma and chroma, as `NoiseEstimate` defines them."""
    grey = luma(residual)
    red, blue = (np.var(residual[..., channel] - grey) for channel in (0, 2))
    return 255 * float(np.std(grey)), 255 * float(np.sqrt((red + blue) / 2))


@pytest.mark.parametrize("sigma", [4, 10, 25])
def test_white_noise_is_measured(sigma: float) -> None:
    noisy = white_noise(0.1 + 0.8 * CLEAN, sigma / 255, np.random.default_rng(0))
    found = estimate(noisy)
    brightness, colour = true_levels(noisy - (0.1 + 0.8 * CLEAN))
    assert found.luma == pytest.approx(brightness, rel=0.2)
    assert found.chroma == pytest.approx(colour, rel=0.2)
    if sigma >= 10:  # below, what texture is left lengthens the reach
        assert found.chroma_correlation_length == pytest.approx(0.8, abs=0.2)


@pytest.mark.parametrize("gain", [1e-3, 4e-3, 1.6e-2])
def test_correlated_camera_noise_is_measured(gain: float) -> None:
    """Differences of neighbours would find half of it."""
    noisy, target = simulate(CLEAN, Camera(shot_gain=gain, read_noise=gain), np.random.default_rng(0))
    found = estimate(noisy)
    brightness, colour = true_levels(noisy - target)
    assert found.luma == pytest.approx(brightness, rel=0.3)
    assert found.chroma == pytest.approx(colour, rel=0.3)
    assert found.luma_correlation_length == pytest.approx(1.8, abs=0.5 if gain > 1e-3 else 1.0)


def test_more_noise_is_more_and_reaching_noise_reaches() -> None:
    rng = np.random.default_rng(0)
    levels = [estimate(white_noise(CLEAN, sigma / 255, rng)) for sigma in (2, 5, 12, 30)]
    assert (np.diff([e.luma for e in levels]) > 0).all()
    assert (np.diff([e.chroma for e in levels]) > 0).all()
    smooth = estimate(simulate(CLEAN, Camera(chroma_smoothing=2.0), rng)[0])
    assert smooth.chroma_correlation_length > 3 * levels[-1].chroma_correlation_length


def test_a_clean_smooth_picture_has_next_to_none() -> None:
    across, down = np.meshgrid(np.linspace(0.2, 0.8, 300), np.linspace(-1, 1, 200))
    shaded = np.stack([across, 0.5 + 0.2 * down**2, 1 - across], 2).astype(np.float32)
    assert max(estimate(shaded).luma, estimate(shaded).chroma) < 0.2
    eight_bits = estimate(from_unit(shaded, np.uint8))
    assert max(eight_bits.luma, eight_bits.chroma) < 0.5
    assert estimate(np.full((100, 90, 3), 77, np.uint8)) == NoiseEstimate()


def test_depth_says_nothing_and_contrast_scales() -> None:
    noisy = white_noise(0.2 + 0.6 * CLEAN, 8 / 255, np.random.default_rng(1))
    found = estimate(noisy)
    for dtype in (np.uint8, np.uint16):
        assert estimate(from_unit(noisy, dtype)).luma == pytest.approx(found.luma, rel=0.02)
    half = estimate(0.25 + 0.5 * noisy)
    assert half.luma == pytest.approx(found.luma / 2, rel=0.02)
    assert half.chroma == pytest.approx(found.chroma / 2, rel=0.02)
    assert half.luma_correlation_length == pytest.approx(found.luma_correlation_length, abs=0.05)


def test_grey_photos_have_luma_alone() -> None:
    noisy = white_noise(CLEAN, 10 / 255, np.random.default_rng(1))[..., 1:2]
    found = estimate(np.ascontiguousarray(noisy))
    assert found.luma == pytest.approx(10, rel=0.2)
    assert (found.chroma, found.chroma_correlation_length) == (0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (7, 300), (8, 8), (9, 30), (16, 16), (50, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_photos_do_not_fail(size: tuple[int, int], channels: int) -> None:
    found = estimate(np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8))
    assert min(found.luma, found.chroma, found.luma_correlation_length, found.chroma_correlation_length) >= 0
    assert (found.luma > 0) == (min(size) >= 8)


def test_odd_values_of_a_float_photo_do_not_fail() -> None:
    noisy = white_noise(CLEAN, 10 / 255, np.random.default_rng(1))
    noisy[:20, :20] = np.nan
    noisy[-20:, :20] = np.inf
    noisy[:20, -20:] = 7
    assert estimate(noisy).luma == pytest.approx(6.7, rel=0.2)


def test_a_photo_that_is_black_and_white_does_not_fail() -> None:
    assert estimate(np.zeros((64, 64, 3), np.uint8)) == NoiseEstimate()
    assert np.isfinite(estimate(np.random.default_rng(0).choice([0, 255], (64, 64, 3)).astype(np.uint8)).luma)


def test_a_large_photo_takes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured of 24 megapixels has a bounded size, and gives the noise of the whole."""
    noisy = from_unit(white_noise(0.1 + 0.8 * CLEAN, 10 / 255, np.random.default_rng(0)), np.uint8)
    pixels = np.tile(noisy, (11, 11, 1))
    sampled: list[int] = []
    sample_now = module._sample

    def sample(*arguments: Any) -> NDArray[np.float32]:
        cells = sample_now(*arguments)
        sampled.append(cells[..., 0].size)
        return cells

    monkeypatch.setattr(module, "_sample", sample)
    found = estimate(pixels)
    assert len(sampled) == 3
    assert max(sampled) < 3e6
    assert found.luma == pytest.approx(estimate(noisy).luma, rel=0.1)
    assert found.chroma == pytest.approx(estimate(noisy).chroma, rel=0.1)


@pytest.mark.parametrize("value", [16, 128])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.8])
def test_what_was_filled_evenly_says_nothing(value: int, share: float) -> None:
    """A frame, a caption, a redacted face: the flattest places of all, and no camera made them."""
    noisy = from_unit(white_noise(0.2 + 0.6 * CLEAN, 10 / 255, np.random.default_rng(0)), np.uint8)
    rows = round(share * len(noisy))
    expected = estimate(noisy[rows:])
    noisy[:rows] = value
    found = estimate(noisy)
    assert found.luma == pytest.approx(expected.luma, rel=0.15)
    assert found.chroma == pytest.approx(expected.chroma, rel=0.15)


def test_a_drawn_picture_has_no_noise() -> None:
    drawn = np.full((200, 300, 3), 240, np.uint8)
    drawn[90:110, 40:60] = np.random.default_rng(0).integers(0, 255, (20, 20, 3))
    assert estimate(drawn).luma == 0


def test_odd_values_are_finite_in_other_colours() -> None:
    odd = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    odd[3, 4] = [np.inf, 0, np.inf]
    odd[9, 9] = np.nan

    def mixing(values: np.ndarray) -> np.ndarray:
        return np.asarray(values @ np.array([[1.6, -0.6, 0], [-0.6, 1.6, 0], [0, 0, 1]], np.float32))

    assert np.isfinite(luma_level(odd, mixing))


@pytest.mark.parametrize("size", [(7, 400), (300, 1), (1, 1), (3, 5)])
def test_the_level_of_any_size(size: tuple[int, int]) -> None:
    noisy = (0.5 + 0.05 * np.random.default_rng(0).standard_normal((*size, 1))).astype(np.float32)
    assert 0 <= luma_level(noisy) < 30
    if min(size) == 7:
        assert luma_level(noisy) == pytest.approx(0.05 * 255, rel=0.2)


def test_texture_everywhere_is_doubted_and_noise_is_not() -> None:
    """A lawn has luma "noise" alone; a camera's noise has its chroma, and a grey picture has none at all."""
    rng = np.random.default_rng(0)
    blades = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)), (0, 0), 1.0)
    lawn = np.array([0.35, 0.45, 0.25]) + 0.35 * blades[..., None] * np.array([0.95, 1.05, 0.85])
    found = estimate(np.clip(lawn, 0, 1).astype(np.float32))
    assert found.luma > 8
    assert found.may_be_texture
    assert found.trusted_luma < 0.4 * found.luma, "a lawn is not removed as noise"
    grey = np.repeat(np.clip(0.5 + 0.35 * blades[..., None], 0, 1), 3, 2).astype(np.float32)
    noise = np.clip(0.5 + rng.normal(0, 0.1, (256, 256, 3)), 0, 1).astype(np.float32)
    for trusted in (grey, noise, grey[..., :1]):
        assert not estimate(trusted).may_be_texture
        assert estimate(trusted).trusted_luma == estimate(trusted).luma
    assert NoiseEstimate(20, 4.99).trusted_luma == pytest.approx(20, rel=0.02), "no step at the limit"
    assert NoiseEstimate(7.9, 0.6).trusted_luma == 7.9, "little noise is not worth a doubt"

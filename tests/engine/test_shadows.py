"""Noise below the sensor's black level is kept until after denoising, so that dark greys stay grey."""

import struct
from functools import cache

import cv2
import numpy as np
import pytest
from raw_builders import build_dng, mosaic

from nsp_cli.engine.process import process
from nsp_cli.image import Frame, RawOptions, encode, read
from tests.engine.test_process import Fake

SIDE = 288
GREYS = (0.0, 0.002, 0.005)  # linear, columns of equal width


@cache
def noisy_dng(sigma: float = 30.0) -> bytes:
    """A grey picture, black on the left, with the same noise at each photosite, most of it larger than the signal."""
    grey = np.repeat(np.repeat(GREYS, SIDE // len(GREYS))[None], SIDE, 0)
    clean = mosaic(np.repeat(grey[..., None], 3, 2)).astype(float)
    return build_dng(np.rint(clean + np.random.default_rng(0).normal(0, sigma, clean.shape)).astype(np.uint16))


def like_a_network(tile: np.ndarray) -> np.ndarray:
    """A blur that takes values below black for half of what they are."""
    return np.stack([cv2.blur(np.where(plane < 0, plane / 2, plane), (25, 25)) for plane in tile[0]])[None]


def means(pixels: np.ndarray) -> np.ndarray:
    """(3, C) means of the three greys, away from their edges."""
    return np.stack([part[16:-16, 16:-16].mean((0, 1)) for part in np.array_split(pixels, len(GREYS), axis=1)])


@pytest.mark.parametrize("stops", [0.0, 3.0])
def test_neutral_stays_neutral(stops: float) -> None:
    """Within 4 of 255; without the noise below black it does not."""
    frame = read(noisy_dng(), RawOptions(exposure=stops))
    assert frame.pixels.dtype == np.uint16
    assert frame.below_black is not None
    found = means(process(frame, Fake(like_a_network)).pixels) / 257
    assert np.ptp(found, axis=1).max() < 4
    linear = np.array(GREYS) * 2**stops
    wanted = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(found - wanted[:, None]).max() < 6
    cut = means(process(Frame(frame.pixels), Fake(like_a_network)).pixels) / 257
    assert np.ptp(cut[0]) > (1 if stops == 0 else 4)


def test_a_colour_that_is_chance_is_taken_off_and_a_real_one_stays() -> None:
    """Of 12 noisy black pictures at +3 stops, none has a colour; a dark red that noise hides keeps its own."""
    for seed, light in [*((seed, (0.0, 0.0, 0.0)) for seed in range(12)), (0, (0.003, 0.001, 0.001))]:
        clean = mosaic(np.broadcast_to(light, (96, 96, 3))).astype(float)
        noise = np.random.default_rng(seed).normal(0, 60, clean.shape)
        frame = read(build_dng(np.rint(clean + noise).astype(np.uint16)), RawOptions(exposure=3))
        found = process(frame, Fake(like_a_network)).pixels.mean((0, 1)) / 257
        if any(light):
            assert found[0] - found[1:].max() > 15
        else:
            assert np.ptp(found) < 4, seed


def test_the_network_sees_values_below_black_in_their_place() -> None:
    seen: list[np.ndarray] = []
    frame = read(noisy_dng())
    process(frame, Fake(lambda tile: seen.append(tile) or tile))
    assert frame.below_black is not None
    signed = frame.pixels / 65535 - frame.below_black / 65535
    np.testing.assert_allclose(seen[0][0].transpose(1, 2, 0), signed, atol=1e-6)
    assert not ((frame.pixels > 0) & (frame.below_black > 0)).any()
    part = frame.region(slice(10, 20), slice(5, 9))
    np.testing.assert_array_equal(part.below_black, frame.below_black[10:20, 5:9])
    unchanged = process(frame, Fake()).pixels
    assert np.abs(unchanged.astype(int) - frame.pixels)[:, -80:].max() <= 257, "what is not denoised hardly changes"


def test_a_dng_keeps_its_shadows_neutral_too() -> None:
    frame = read(noisy_dng(), RawOptions(linear=True))
    assert frame.pixels.min() < 0
    result = process(frame, Fake(like_a_network))
    developed = read(encode(result, "dng")[0], RawOptions(exposure=3))
    assert np.ptp(means(developed.pixels) / 257, axis=1).max() < 4


def test_a_picture_without_noise_below_black_is_developed_by_libraw_alone() -> None:
    bright = read(build_dng(mosaic(np.full((48, 64, 3), 0.3))))
    assert bright.below_black is None


def test_levels_of_black_may_differ_by_channel() -> None:
    levels = np.array([[500, 510], [520, 530]])
    noise = np.random.default_rng(0).normal(0, 40, (SIDE, SIDE))
    sensor = np.tile(levels, (SIDE // 2, SIDE // 2)) + noise
    black = {50713: (3, 2, struct.pack("<2H", 2, 2)), 50714: (3, 4, struct.pack("<4H", *levels.ravel()))}
    frame = read(build_dng(np.rint(sensor).astype(np.uint16), extra=black))
    mean = frame.unit_values(slice(None), slice(None)).mean((0, 1))
    assert np.abs(mean).max() < 1 / 255

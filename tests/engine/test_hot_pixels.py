"""Hot pixels of one channel are taken out before denoising; stars, lines and noise stay."""

from dataclasses import replace

import numpy as np
import pytest
from raw_builders import build_dng, mosaic

from nsp_cli.engine.blending import Blend
from nsp_cli.engine.hot_pixels import without_hot_pixels
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, from_unit, read
from nsp_cli.image.luma import luma
from tests.engine.test_process import SPEC, Fake

PLACES = np.array([[3, 5, 0], [40, 100, 1], [255, 77, 2], [256, 20, 0], [298, 118, 1]])  # bands begin at 256


def noisy(sigma: float = 8 / 255) -> np.ndarray:
    return 0.45 + np.random.default_rng(0).normal(0, sigma, (300, 120, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_hot_pixels_are_taken_out(dtype: type) -> None:
    before = noisy()
    hot = before.copy()
    hot[tuple(PLACES.T)] = 0.95
    frame = Frame(from_unit(hot.astype(np.float32), dtype))
    result = process(frame, Fake()).pixels
    changed = np.argwhere(result != frame.pixels)
    np.testing.assert_array_equal(changed, PLACES)
    found = result[tuple(PLACES.T)] / (1 if dtype == np.float32 else np.iinfo(dtype).max)
    assert np.abs(found - 0.45).max() < 16 / 255
    assert frame.pixels[3, 5, 0] > found[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("side", [0, 32])
def test_hot_pixels_go_as_much_as_the_strength_has_it(dtype: type, scale: int, side: int) -> None:
    """In tiles of any size and in strips that fade into each other; what else the network changes is blended too."""
    hot = noisy()
    hot[tuple(PLACES.T)] = 0.95
    photo = Frame(from_unit(hot.astype(np.float32), dtype))
    darker = Fake(lambda tile: tile.repeat(scale, 2).repeat(scale, 3) - np.float32(0.2), replace(SPEC, scale=scale))
    if side:
        darker.spec = replace(darker.spec, tile=side)
    nothing, whole = (process(photo, darker, Blend(s)).pixels.astype(np.float64) for s in (0, 100))
    step = 1e-5 if dtype == np.float32 else 2.0  # results, and enlargements, are rounded
    for blend in (Blend(5), Blend(60), Blend(50, 40, 40)):
        weight = blend.strength * blend.luma / 1e4
        for tile in (0,) if side else (0, 64):
            found = process(photo, darker, blend, tile=tile).pixels
            assert np.abs(found - ((1 - weight) * nothing + weight * whole)).max() < step
    if dtype == np.float32 and scale == 1:
        same = Fake()
        assert process(photo, same, Blend(5)).pixels[3, 5, 0] == pytest.approx(0.95 * 0.95 + 0.05 * 0.45, abs=0.01)
        grey = process(photo, same, Blend(100, 0, 100)).pixels
        assert luma(grey)[3, 5] == pytest.approx(luma(photo.pixels)[3, 5], abs=1e-5)
        assert grey[3, 5, 0] < 0.85


def test_what_is_no_hot_pixel_stays() -> None:
    star = noisy()
    star[50, 60] = 0.95
    line = noisy()
    line[100, :, 0] = 0.95
    pair = noisy()
    pair[100, 50:52, 2] = 0.95
    grey = noisy()[:, :, :1]
    grey[50, 60] = 0.95
    strong = np.random.default_rng(0).random((300, 120, 3))
    for values in (star, line, pair, grey, noisy(0.0), noisy(), strong):
        frame = Frame(from_unit(values.astype(np.float32), np.uint8))
        assert without_hot_pixels(frame) is frame


def test_hot_sites_of_a_sensor_are_taken_out_before_demosaicing() -> None:
    rng = np.random.default_rng(0)
    cold = mosaic(np.full((64, 80, 3), 0.05)) + rng.normal(0, 40, (64, 80))
    rows, columns = np.indices(cold.shape)
    cold += 8000 * np.exp(-((rows - 40) ** 2 + (columns - 50) ** 2) / (2 * 0.7**2))  # a star
    hot = cold.copy()
    hot[[12, 21, 30], [17, 40, 61]] = 12_000  # one of each colour
    found, wanted = (
        read(build_dng(np.rint(part).astype(np.uint16))).pixels.astype(float) / 257 for part in (hot, cold)
    )
    assert np.abs(found - wanted).max() < 16
    np.testing.assert_array_equal(found[36:45, 46:55], wanted[36:45, 46:55])
    assert found[40, 50].max() > 200, "the star stays"

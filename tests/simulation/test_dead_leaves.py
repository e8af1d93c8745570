"""Painted scenes: whose colours they have, and how flat they are."""

import numpy as np
import pytest

from nsp_cli.simulation.dead_leaves import _arrange, _paint, dead_leaves
from nsp_cli.simulation.scene import sample_picture

PHOTO = sample_picture(96, 96, np.random.default_rng(0))


def painted(seed: int, photo: np.ndarray = PHOTO) -> np.ndarray:
    return dead_leaves(photo, np.random.default_rng(seed))


@pytest.mark.parametrize("side", [31, 64, 143])
def test_a_scene_is_a_picture_of_the_photos_size(side: int) -> None:
    scene = painted(0, sample_picture(side, side, np.random.default_rng(1)))
    assert scene.shape == (side, side, 3)
    assert scene.dtype == np.float32
    assert 0 <= scene.min() < scene.max() <= 1


def test_every_scene_is_another_and_a_seed_repeats_it() -> None:
    np.testing.assert_array_equal(painted(3), painted(3))
    assert np.abs(painted(3) - painted(4)).mean() > 0.05


def test_it_has_the_photos_colours_alone() -> None:
    grey = np.repeat(PHOTO[..., :1], 3, axis=2)
    red = PHOTO * np.array([1, 0, 0], np.float32)
    for seed in range(5):
        assert np.ptp(painted(seed, grey), axis=2).max() < 1e-5
        assert painted(seed, red)[..., 0].std() > 5 * painted(seed, red)[..., 1:].std()


def test_it_is_flatter_than_the_photo_and_has_edges() -> None:
    """Half of its pixels or more are as even as a wall, and some steps are large."""
    busy = np.random.default_rng(2).uniform(size=(96, 96, 3)).astype(np.float32)
    steps = np.concatenate([np.abs(np.diff(painted(seed, busy)[..., 1], axis=1)).ravel() for seed in range(20)])
    assert np.median(steps) < 0.06 * np.median(np.abs(np.diff(busy[..., 1], axis=1)))
    assert np.quantile(steps, 0.98) > 0.2


def test_everything_is_covered() -> None:
    """A white photo's scenes are white, but for the shade."""
    white = np.ones((64, 64, 3), np.float32)
    assert min(painted(seed, white).mean() for seed in range(20)) > 0.7


def test_a_label_is_there_or_not() -> None:
    """Edges of letters too: what lies between two labels would be another leaf."""
    for seed in range(40):
        labels = _arrange(64, 3, np.random.default_rng(seed), covered=False)
        assert set(np.unique(labels)) <= {0, 2, 3, 4}


def test_what_lies_on_another_mixes_with_it_alone() -> None:
    """No fringe: over white, the edge of a white shape is white."""
    labels = np.zeros((64, 64), np.uint8)
    labels[9:40, 11:50] = 2
    photo = np.ones((32, 32, 3), np.float32)
    for seed in range(10):
        shape, mask = _paint(labels, photo, np.zeros((32, 32, 1), np.float32), np.random.default_rng(seed))
        assert 0 < mask[4, 10, 0] < 1
        assert not shape[mask[..., 0] == 0].any()
        inside = mask[..., 0] > 0
        shade = shape[inside] / mask[inside]  # of one shape: a slope, the same function at its edge
        x, y = np.meshgrid(*[np.linspace(-1, 1, 32)] * 2)
        plane = np.stack([np.ones_like(x), x, y], 2)[inside]
        residual = shade[:, 0] - plane @ np.linalg.lstsq(plane, shade[:, 0], rcond=None)[0]
        assert np.abs(residual).max() < 1e-5

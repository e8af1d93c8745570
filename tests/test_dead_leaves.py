"""Painted scenes: whose colours they have, and how flat they are."""

import numpy as np
import pytest

from nsp_cli.dead_leaves import dead_leaves
from nsp_cli.sample import sample_picture

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
    assert np.median(steps) < 0.1 * np.median(np.abs(np.diff(busy[..., 1], axis=1)))
    assert np.quantile(steps, 0.98) > 0.2


def test_a_leaf_covers_what_is_behind_it() -> None:
    """All of the picture is painted: a white photo gives no black place but in the shade."""
    white = np.ones((64, 64, 3), np.float32)
    assert min(painted(seed, white).mean() for seed in range(20)) > 0.4

"""Which simulated cameras made the noise of some photos."""

from dataclasses import replace

import numpy as np
import pytest

from nsp_cli.noise import estimate
from nsp_cli.sample import sample_picture
from nsp_cli.simulation import Camera, simulate
from nsp_cli.training import matching
from nsp_cli.training.matching import match

SCENE = sample_picture(160, 192, np.random.default_rng(3))
SMOOTH = Camera(shot_gain=1e-2, read_noise=1e-2, luma_smoothing=1.0, chroma_smoothing=2.0)


@pytest.mark.parametrize("camera", [Camera(shot_gain=1e-3, read_noise=2e-3, demosaic="none"), SMOOTH])
def test_the_cameras_found_make_the_noise_that_was_seen(camera: Camera) -> None:
    noisy, clean = simulate(SCENE, camera, np.random.default_rng(0))
    wanted = estimate(noisy)
    found = match([(noisy, clean)], np.random.default_rng(1))
    assert len(found) == 4
    nearest = estimate(simulate(clean, found[0], np.random.default_rng(2))[0])
    assert nearest.luma == pytest.approx(wanted.luma, rel=0.3)
    assert nearest.chroma == pytest.approx(wanted.chroma, rel=0.5)
    assert nearest.luma_reach == pytest.approx(wanted.luma_reach, rel=0.5)


def test_a_camera_has_every_photos_noise_level() -> None:
    night = replace(SMOOTH, shot_gain=4e-2, read_noise=2e-2)
    looks = [simulate(SCENE, camera, np.random.default_rng(seed)) for seed, camera in enumerate((SMOOTH, night))]
    found = match(looks, np.random.default_rng(1))
    assert len(found) == 8
    for day, dark in zip(found[::2], found[1::2], strict=True):
        assert dark == replace(day, shot_gain=dark.shot_gain, read_noise=dark.read_noise)  # one camera, two levels
    for camera, (noisy, clean) in zip(found[:2], looks, strict=True):
        made = estimate(simulate(clean, camera, np.random.default_rng(2))[0])
        assert made.luma == pytest.approx(estimate(noisy).luma, rel=0.3)


def test_a_camera_has_to_fit_all_photos() -> None:
    measures = [matching._Measure(*simulate(SCENE, SMOOTH, np.random.default_rng(seed))) for seed in range(2)]
    sharp = Camera(shot_gain=1e-2, read_noise=1e-2, demosaic="none")
    right, wrong = (matching._try(camera, measures, np.random.default_rng(5)).apart for camera in (SMOOTH, sharp))
    assert right < wrong / 4


def test_without_noise_there_is_no_camera_to_find() -> None:
    flat = np.full((96, 96, 3), 0.5, np.float32)
    assert match([(flat, flat)], np.random.default_rng(0)) == []
    assert match([], np.random.default_rng(0)) == []


def test_photos_too_small_to_tell_are_passed_over() -> None:
    noisy, clean = simulate(SCENE, SMOOTH, np.random.default_rng(0))
    small = noisy[:40, :100], clean[:40, :100]
    assert match([small], np.random.default_rng(0)) == []
    assert match([small, (noisy, clean)], np.random.default_rng(0)) == match([(noisy, clean)], np.random.default_rng(0))

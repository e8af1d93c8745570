"""Which simulated cameras made the noise of some photos."""

from dataclasses import replace

import numpy as np
import pytest

from nsp_cli.noise import estimate
from nsp_cli.sample import sample_picture
from nsp_cli.simulation import Camera, simulate
from nsp_cli.training import matching
from nsp_cli.training.matching import Look, flattest, match, telling

SCENE = sample_picture(256, 320, np.random.default_rng(3))
SMOOTH = Camera(shot_gain=1e-2, read_noise=1e-2, luma_smoothing=1.0, chroma_smoothing=2.0)


def look(camera: Camera, seed: int) -> Look:
    found = flattest(*simulate(SCENE, camera, np.random.default_rng(seed)))
    assert found is not None
    return found


@pytest.mark.parametrize("camera", [Camera(shot_gain=1e-3, read_noise=2e-3, demosaic="none"), SMOOTH])
def test_the_cameras_found_make_the_noise_that_was_seen(camera: Camera) -> None:
    seen = look(camera, 0)
    wanted = estimate(seen.noisy)
    found = match([seen], np.random.default_rng(1))
    assert len(found) == 4
    nearest = estimate(simulate(seen.clean, found[0], np.random.default_rng(2))[0])
    assert nearest.luma == pytest.approx(wanted.luma, rel=0.3)
    assert nearest.chroma == pytest.approx(wanted.chroma, rel=0.5)
    assert nearest.luma_reach == pytest.approx(wanted.luma_reach, rel=0.5)


def test_a_camera_has_every_photos_noise_level() -> None:
    night = replace(SMOOTH, shot_gain=4e-2, read_noise=2e-2)
    looks = [look(camera, seed) for seed, camera in enumerate((SMOOTH, night))]
    found = match(looks, np.random.default_rng(1))
    assert len(found) == 8
    for day, dark in zip(found[::2], found[1::2], strict=True):
        assert dark == replace(day, shot_gain=dark.shot_gain, read_noise=dark.read_noise)  # one camera, two levels
    for camera, seen in zip(found[:2], looks, strict=True):
        made = estimate(simulate(seen.clean, camera, np.random.default_rng(2))[0])
        assert made.luma == pytest.approx(estimate(seen.noisy).luma, rel=0.3)


def test_a_camera_has_to_fit_all_photos() -> None:
    measures = [matching._Measure(*look(SMOOTH, seed)[:2]) for seed in range(2)]
    sharp = Camera(shot_gain=1e-2, read_noise=1e-2, demosaic="none")
    right, wrong = (matching._try(camera, measures, np.random.default_rng(5)).apart for camera in (SMOOTH, sharp))
    assert right < wrong / 4


def test_flat_places_are_where_the_clean_photo_has_no_detail() -> None:
    scene = np.full((256, 256, 3), 0.5, np.float32)
    scene[:, :192] += np.random.default_rng(0).uniform(-0.2, 0.2, (256, 192, 1)).astype(np.float32)
    noisy, clean = simulate(scene, SMOOTH, np.random.default_rng(1))
    found = flattest(noisy, clean)
    assert found is not None
    for flat, whole in zip(found[:2], (noisy, clean), strict=True):
        tiles = sorted(whole[row : row + 64, 192:].tobytes() for row in range(0, 256, 64))
        assert sorted(flat[y : y + 64, x : x + 64].tobytes() for y in (0, 64) for x in (0, 64)) == tiles


def test_looks_that_are_nothing_but_texture_tell_nothing() -> None:
    looks = [look(SMOOTH, seed)._replace(noise=float(seed), detail=0.1 * seed) for seed in range(1, 10)]
    noises = [seen.noise for seen in telling(looks)]
    assert len(noises) == 6
    assert (noises[0], noises[-1]) == (1, 8)  # spread over the levels
    textured = looks[8]._replace(detail=100.0)
    assert telling([textured, looks[0]]) == [looks[0]]
    assert telling([textured]) == [textured]
    assert telling([]) == []


def test_without_noise_or_room_there_is_nothing_to_match() -> None:
    flat = np.full((256, 256, 3), 0.5, np.float32)
    assert flattest(flat, flat) is None
    noisy, clean = simulate(SCENE, SMOOTH, np.random.default_rng(0))
    assert flattest(noisy[:127], clean[:127]) is not None  # one row of five tiles
    assert flattest(noisy[:127, :191], clean[:127, :191]) is None
    assert match([], np.random.default_rng(0)) == []

"""Which simulated cameras made the noise of some photos."""

from dataclasses import replace

import numpy as np
import pytest

from nsp_cli.noise.estimate import estimate
from nsp_cli.simulation.camera import Camera, Picture, simulate
from nsp_cli.simulation.scene import sample_picture
from nsp_cli.training import camera_fit
from nsp_cli.training.camera_fit import FlatPatches, fit_cameras, flattest, most_informative

SCENE = sample_picture(256, 320, np.random.default_rng(3))
SMOOTH = Camera(shot_gain=1e-2, read_noise=1e-2, luma_smoothing=1.0, chroma_smoothing=2.0)
SHARP = Camera(shot_gain=1e-2, read_noise=1e-2, demosaic="none")


def patch(camera: Camera, seed: int, scene: Picture = SCENE) -> FlatPatches:
    found = flattest(*simulate(scene, camera, np.random.default_rng(seed)))
    assert found is not None
    return found


def apart(camera: Camera, *patches: FlatPatches) -> float:
    return camera_fit._try(camera, patches, np.random.default_rng(5)).distance


@pytest.mark.parametrize("camera", [Camera(shot_gain=1e-3, read_noise=2e-3, demosaic="none"), SMOOTH])
@pytest.mark.slow
def test_the_cameras_found_make_the_noise_that_was_seen(camera: Camera) -> None:
    seen = patch(camera, 0)
    wanted = estimate(seen.noisy)
    found = fit_cameras([seen], np.random.default_rng(1))
    assert len(found) == 4
    nearest = estimate(simulate(seen.clean, found[0], np.random.default_rng(2))[0])
    assert nearest.luma == pytest.approx(wanted.luma, rel=0.3)
    assert nearest.chroma == pytest.approx(wanted.chroma, rel=0.5)
    assert nearest.luma_correlation_length == pytest.approx(wanted.luma_correlation_length, rel=0.5)


def test_a_camera_has_every_photos_noise_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_fit, "_DRAWS", (16, 16))
    night = replace(SMOOTH, shot_gain=4e-2, read_noise=2e-2)
    patches = [patch(camera, seed) for seed, camera in enumerate((SMOOTH, night))]
    found = fit_cameras(patches, np.random.default_rng(1))
    assert len(found) == 8
    for day, dark in zip(found[::2], found[1::2], strict=True):
        assert dark == replace(day, shot_gain=dark.shot_gain, read_noise=dark.read_noise)  # one camera, two levels
    for camera, seen in zip(found[:2], patches, strict=True):
        made = seen.measure(*simulate(seen.clean, camera, np.random.default_rng(2)))
        # Logarithms: 0.1 is a tenth. `estimate` differs with a camera's correlation, which so few draws leave open.
        assert made.luma.mean() == pytest.approx(seen.measured.luma.mean(), abs=0.1)


def test_a_camera_has_to_fit_all_photos() -> None:
    smooth, sharp = patch(SMOOTH, 0), patch(SHARP, 1)
    assert apart(SMOOTH, smooth) < apart(SHARP, smooth) / 4
    assert apart(SHARP, sharp) < apart(SMOOTH, sharp) / 4
    assert apart(SMOOTH, smooth, sharp) > apart(SMOOTH, smooth) + 0.1


def test_a_grey_photo_asks_for_no_colour() -> None:
    noisy, clean = (np.repeat(picture[..., 1:2], 3, 2) for picture in simulate(SCENE, SMOOTH, np.random.default_rng(0)))
    seen = flattest(noisy, clean)
    assert seen is not None
    assert apart(SMOOTH, seen) < apart(SHARP, seen) / 4
    assert apart(SMOOTH, seen) < 0.1


def test_flat_places_are_where_the_clean_photo_has_no_detail() -> None:
    scene = np.full((256, 256, 3), 0.5, np.float32)
    scene[:, :192] += np.random.default_rng(0).uniform(-0.2, 0.2, (256, 192, 1)).astype(np.float32)
    noisy, clean = simulate(scene, SMOOTH, np.random.default_rng(1))
    found = flattest(noisy, clean)
    assert found is not None
    for flat, whole in ((found.noisy, noisy), (found.clean, clean)):
        tiles = sorted(whole[row : row + 64, 192:].tobytes() for row in range(0, 256, 64))
        assert sorted(flat[y : y + 64, x : x + 64].tobytes() for y in (0, 64) for x in (0, 64)) == tiles


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_what_is_black_or_white_tells_nothing(level: float) -> None:
    scene = np.concatenate([np.full((128, 320, 3), level, np.float32), SCENE])
    cut_off, plain = patch(replace(SMOOTH, read_noise=0), 0, scene), patch(replace(SMOOTH, read_noise=0), 0)
    assert cut_off.noise > plain.noise / 3
    assert np.abs(cut_off.clean - level).min() > 0


def test_patches_that_are_mostly_texture_are_left_out() -> None:
    patches = [patch(SMOOTH, 0) for _ in range(9)]
    for level, seen in enumerate(patches, 1):
        seen.noise, seen.detail = float(level), 0.1 * level
    assert [seen.noise for seen in most_informative(patches)] == [1, 2, 4, 5, 7, 8]  # spread over the levels
    patches[0].detail = 100.0
    assert [id(seen) for seen in most_informative(patches[:2])] == [id(patches[1])]
    assert [id(seen) for seen in most_informative(patches[:1])] == [id(patches[0])]  # the best that there is
    assert most_informative([]) == []


def test_without_noise_or_room_there_is_nothing_to_match() -> None:
    flat = np.full((256, 256, 3), 0.5, np.float32)
    assert flattest(flat, flat) is None
    noisy, clean = simulate(SCENE, SMOOTH, np.random.default_rng(0))
    assert flattest(noisy[:128], clean[:128]) is not None
    assert flattest(noisy[:127], clean[:127]) is not None  # a row of five tiles
    assert flattest(noisy[:127, :191], clean[:127, :191]) is None
    assert fit_cameras([], np.random.default_rng(0)) == []


def test_a_level_out_of_reach_stays_a_camera() -> None:
    seen = patch(SMOOTH, 0)
    seen.measured = seen.measured._replace(luma=seen.measured.luma + 9)
    camera = camera_fit._calibrated(SMOOTH, seen, np.random.default_rng(0))[1]
    assert camera.shot_gain <= 1
    assert camera.read_noise <= 0.5

"""Simulated camera noise has a camera's statistics, and the road to the target is the same without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nsp_cli.noise.correlation import noise_correlation
from nsp_cli.simulation import bayer
from nsp_cli.simulation import camera as camera_module
from nsp_cli.simulation.camera import BILINEAR, DIRECTED, GRADIENT, NO_MOSAIC, Camera, simulate, white_noise
from nsp_cli.simulation.scene import sample_picture

SILENT = Camera(shot_gain=0.0, read_noise=0.0)
GREY = np.full((256, 256, 3), 0.5, np.float32)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def psnr(first: camera_module.Picture, second: camera_module.Picture) -> float:
    return float(-10 * np.log10(np.mean((first - second) ** 2)))


def smooth_picture(height: int = 96, width: int = 128) -> camera_module.Picture:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [0.5 + 0.3 * np.sin(x / 25 + phase) * np.cos(y / 31) for phase in (0, 1, 2)]
    return np.dstack(planes).astype(np.float32)


@pytest.mark.parametrize("seed", range(12))
def test_random_cameras_keep_shape_dtype_and_range(seed: int) -> None:
    clean = smooth_picture(47, 61)
    for picture in simulate(clean, camera_module.random_camera(random(seed)), random(seed)):
        assert picture.shape == clean.shape
        assert picture.dtype == np.float32
        assert 0.0 <= picture.min() <= picture.max() <= 1.0


def test_the_same_generator_gives_the_same_photo() -> None:
    camera = camera_module.random_camera(random(3))
    assert camera == camera_module.random_camera(random(3))
    first, second, other = (simulate(smooth_picture(), camera, random(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], other[1])
    assert not np.array_equal(first[0], other[0])


def test_without_noise_the_photo_is_its_target_and_close_to_the_scene() -> None:
    noisy, target = simulate(smooth_picture(), SILENT, random())
    np.testing.assert_array_equal(noisy, target)
    assert psnr(target, smooth_picture()) > 50  # only the mosaic's blur is lost
    np.testing.assert_allclose(simulate(GREY, SILENT, random())[1], GREY, atol=1e-5)


def test_srgb_curves_are_inverse() -> None:
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)
    np.testing.assert_allclose(camera_module.encode_srgb(camera_module.decode_srgb(ramp)), ramp, atol=1e-6)
    assert camera_module.decode_srgb(np.full(1, 0.5, np.float32))[0] == pytest.approx(0.21404, abs=1e-5)  # IEC


@pytest.mark.parametrize(("camera", "power"), [(Camera(1e-3, 0.0), 1), (Camera(0.0, 0.005), 0)])
def test_shot_variance_grows_with_light_and_read_variance_does_not(camera: Camera, power: int) -> None:
    levels = np.array([0.05, 0.1, 0.2, 0.4], np.float32)  # linear light, where neither black nor white clips
    variances: list[float] = []
    for level in levels:
        scene = camera_module.encode_srgb(np.full((200, 200, 3), level, np.float32))
        noisy, target = (camera_module.decode_srgb(picture)[..., 1] for picture in simulate(scene, camera, random()))
        variances.append(float(np.var(noisy - target)))
    ratios = np.array(variances) / levels**power
    np.testing.assert_allclose(ratios, ratios.mean(), rtol=0.05)


def test_less_exposure_is_darker_and_noisier_for_its_light() -> None:
    day, dusk = (simulate(GREY, Camera(exposure=exposure), random()) for exposure in (1.0, 0.25))
    assert dusk[1].mean() < 0.6 * day[1].mean()
    assert (dusk[0] - dusk[1]).std() / dusk[1].mean() > 2 * (day[0] - day[1]).std() / day[1].mean()


def test_white_noise_reaches_no_neighbour() -> None:
    residual = white_noise(GREY, 0.05, random()) - GREY
    assert residual.std() == pytest.approx(0.05, rel=0.02)
    luma, chroma = noise_correlation(residual, 4)
    assert luma[0] == chroma[0] == 1.0
    assert np.abs([luma[1:], chroma[1:]]).max() < 0.02


@pytest.mark.parametrize("smoothing", [0.0, 0.8, 1.5])
def test_camera_noise_reaches_its_neighbours_and_chroma_further(smoothing: float) -> None:
    noisy, target = simulate(GREY, Camera(chroma_smoothing=smoothing), random())
    luma, chroma = noise_correlation(noisy - target, 8)
    assert 0.3 < luma[1] < 0.7
    assert abs(luma[4]) < 0.05
    assert chroma[1] > luma[1]
    assert chroma[2] > luma[2]
    if smoothing == 1.5:  # the real photos that we measured: 0.4 to 0.7 at 3 pixels, up to 0.4 at 8
        assert 0.4 < chroma[3] < 0.7
        assert 0.03 < chroma[8] < 0.4


def test_a_lens_blurs_the_picture_and_not_the_noise() -> None:
    stripes = np.full((256, 256, 3), 0.4, np.float32)
    stripes[:, ::4] = 0.6
    noisy, target = simulate(stripes, Camera(demosaic=NO_MOSAIC, lens=1.0), random())
    assert np.ptp(target[64]) < 0.5 * np.ptp(stripes[64])
    assert abs(noise_correlation(noisy - target, 1).luma[1]) < 0.05


@pytest.mark.parametrize("contrast", [-0.4, 0.7])
def test_a_tone_curve_moves_the_noise_and_not_the_picture(contrast: float) -> None:
    silent = simulate(smooth_picture(), replace(SILENT, demosaic=NO_MOSAIC, contrast=contrast), random())[1]
    np.testing.assert_allclose(silent, smooth_picture(), atol=1e-3)
    flat, curved = (
        np.std(np.subtract(*simulate(GREY, Camera(demosaic=NO_MOSAIC, contrast=c), random()))) for c in (0.0, contrast)
    )
    assert curved / flat == pytest.approx(1 + contrast / 2, rel=0.1)


@pytest.mark.parametrize("demosaic", [BILINEAR, GRADIENT, DIRECTED, NO_MOSAIC])
def test_the_answer_is_the_mean_of_many_shots(demosaic: str) -> None:
    """In linear light, where a sensor that cuts off at black makes the dark lighter than it is."""
    dark = np.full((512, 512, 3), 0.2, np.float32)
    camera = Camera(shot_gain=5e-3, read_noise=0.02, demosaic=demosaic)
    linear = camera_module._sense(dark, camera)
    mean, noise = camera_module._photograph(linear, camera, random())
    assert (mean - linear).min() > 3e-4
    # Which direction is chosen depends on the noise, and noise that is cut off on one side then leaves a little.
    left = 0.5 if demosaic == DIRECTED else 0.15
    assert np.abs(noise.mean((0, 1))).max() < left * (mean - linear).min()
    silent = replace(camera, shot_gain=0.0, read_noise=0.0)
    np.testing.assert_array_equal(camera_module._photograph(linear, silent, random())[0], bayer.soften(linear))


@pytest.mark.parametrize("turned", [False, True])
def test_directed_demosaicing_does_not_cross_an_edge(turned: bool) -> None:
    grey = np.full((32, 33, 3), 0.2, np.float32)
    grey[:, 15:] = 0.7
    grey = np.ascontiguousarray(grey.swapaxes(0, 1)) if turned else grey
    np.testing.assert_allclose(bayer.directed(bayer.mosaic(grey)), grey, atol=1e-6)
    crossed = np.abs(bayer.gradient(bayer.mosaic(grey)) - grey).max()
    assert crossed > 0.05


def test_no_demosaicing_leaves_a_chequerboard_in_the_target() -> None:
    """What alternates from pixel to pixel in a target is what a network learns to leave in a photo."""
    stripes = np.zeros((32, 32, 3), np.float32)
    stripes[:, ::2] = 0.6
    for demosaic in (BILINEAR, GRADIENT, DIRECTED, NO_MOSAIC):
        target = simulate(stripes, Camera(demosaic=demosaic), random())[1]
        assert np.abs(np.diff(target, axis=0)).max() < 1e-6


def test_enlargement_widens_the_correlation() -> None:
    camera = Camera(resize=2.0)
    narrow, wide = (np.subtract(*simulate(GREY, each, random())) for each in (Camera(), camera))
    assert noise_correlation(wide, 2).luma[2] > noise_correlation(narrow, 2).luma[2] + 0.2
    assert simulate(smooth_picture(31, 45), camera, random())[1].shape == (31, 45, 3)


def test_jpeg_touches_the_photo_alone() -> None:
    clean = smooth_picture()
    plain, coded = (simulate(clean, Camera(jpeg_quality=quality), random()) for quality in (None, 70))
    np.testing.assert_array_equal(plain[1], coded[1])
    assert 20 < psnr(plain[0], coded[0]) < 45
    np.testing.assert_allclose(coded[0] * 255, np.rint(coded[0] * 255), atol=1e-4)


@pytest.mark.parametrize("size", [(2, 2), (2, 9), (3, 5), (33, 47)])
def test_odd_and_tiny_sizes(size: tuple[int, int]) -> None:
    camera = Camera(chroma_smoothing=1.0, resize=1.5, jpeg_quality=90)
    noisy, target = simulate(np.full((*size, 3), 0.5, np.float32), camera, random())
    assert noisy.shape == target.shape == (*size, 3)
    np.testing.assert_allclose(target, 0.5, atol=1e-5)


def test_cameras_span_sidd_to_daylight() -> None:
    scene = sample_picture(96, 128, random())
    rng = random(1)
    quality = [psnr(*simulate(scene, camera_module.random_camera(rng), rng)) for _ in range(60)]
    assert min(quality) < 22  # this scene is darker than most photos, where the same cameras reach 20
    assert 25 < np.median(quality) < 34
    assert max(quality) > 38


def test_plain_cameras_leave_the_picture_as_sharp_as_it_is() -> None:
    """Down to single pixels, where it is neither black nor white; their noise is from little to that of a dark room."""
    rng = random(1)
    scene = rng.uniform(0.4, 0.7, (96, 96, 3)).astype(np.float32)
    shots = [simulate(scene, camera_module.neutral_camera(rng), rng) for _ in range(30)]
    assert all(np.abs(target - scene).max() < 0.02 for _, target in shots)
    quality = [psnr(*shot) for shot in shots]
    assert min(quality) < 29
    assert max(quality) > 38


def test_plain_cameras_have_the_read_noise_of_sensors() -> None:
    rng = random()
    cameras = [camera_module.neutral_camera(rng) for _ in range(200)]
    electrons = [camera.read_noise / camera.shot_gain for camera in cameras]
    assert 0.1 <= min(electrons) < 0.15
    assert 3.6 < max(electrons) < 3.99
    assert all(1e-4 <= camera.shot_gain <= 1e-2 for camera in cameras)


def test_an_ideal_camera_makes_the_noise_of_a_bilinear_one() -> None:
    scene = np.full((96, 96, 3), 0.5, np.float32)
    camera = Camera(shot_gain=1e-3)
    one, other = (simulate(scene, replace(camera, demosaic=way), random(3))[0] for way in ("bilinear", "ideal"))
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("read_noise", -1.0), ("exposure", 0.0), ("resize", 0.5), ("contrast", 1.0), ("demosaic", "x")],
)
def test_impossible_cameras_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be"):
        replace(Camera(), **{setting: value})


@pytest.mark.parametrize("shape", [(1, 8, 3), (8, 8), (8, 8, 4)])
def test_impossible_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clean must be"):
        simulate(np.zeros(shape, np.float32), SILENT, random())


@pytest.mark.parametrize("size", [(1, 1), (31, 240), (240, 31), (120, 161)])
def test_the_picture_is_painted_at_any_size(size: tuple[int, int]) -> None:
    picture = sample_picture(*size, random())
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.float32
    assert 0.0 <= picture.min() <= picture.max() <= 1.0
    np.testing.assert_array_equal(picture, sample_picture(*size, random()))
    if min(size) > 100:
        saturation = picture.max(axis=2) - picture.min(axis=2)
        assert saturation.max() > 0.6
        assert picture.min() < 0.15
        assert picture.max() > 0.9


def test_the_mean_that_a_cut_raises_is_interpolated_from_its_table() -> None:
    room = np.random.default_rng(0).uniform(0, 8, (40, 30, 3)).astype(np.float32)
    room[0, 0] = (0, 6, 1e9)
    expected = np.interp(room, camera_module._DISTANCES, camera_module._MEAN_SHIFTS)
    assert np.abs(camera_module._mean_shift(room) - expected).max() < 1e-6
    assert camera_module._mean_shift(room).dtype == np.float32

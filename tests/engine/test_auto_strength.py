"""`--strength auto`: from a photo's noise to its strength."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from nsp_cli.engine.auto_strength import auto_strength, mean_square_change, resolve_blend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.options import BlendOptions
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image import Frame, Metadata, colour_space, from_unit
from nsp_cli.image.luma import luma
from nsp_cli.noise.estimate import NoiseEstimate, estimate
from nsp_cli.simulation.camera import white_noise
from nsp_cli.simulation.scene import sample_picture
from tests.engine.test_process import SPEC, Fake
from tests.image.icc_builders import gamma, rgb_profile


def test_the_mapping_grows_from_nothing_to_everything() -> None:
    # A model whose own error is 3 changes by the noise and that error.
    levels = [0, 0.5, 1, 2, 3, 4, 8, 16, 60]
    found = [auto_strength(NoiseEstimate(luma=level), level**2 + 3**2) for level in levels]
    assert found[0] == 0
    assert (np.diff(found) > 0).all()
    assert 99 < found[-1] <= 100
    assert found[4] == pytest.approx(50)
    assert auto_strength(NoiseEstimate(luma=3), 0) == 100


def test_a_model_that_takes_detail_too_gets_less_say() -> None:
    """The exact answer is known: a result that is the truth, and one that is the truth blurred."""
    clean = sample_picture(256, 320, np.random.default_rng(0))
    noisy = white_noise(clean, 10 / 255, np.random.default_rng(1))
    blurred = np.clip(clean + np.random.default_rng(2).normal(0, 10 / 255, clean.shape), 0, 1).astype(np.float32)
    shares = [auto_strength(estimate(noisy), float(np.mean((255 * luma(noisy - to)) ** 2))) for to in (clean, blurred)]
    assert shares[0] > 90
    assert shares[1] == pytest.approx(55, abs=10)


def test_auto_measures_and_a_number_does_not() -> None:
    clean = sample_picture(128, 160, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    # Like a denoiser: it takes the noise, and something else besides.
    lighter = Fake(lambda tile: tile + np.float32(0.05))
    little, much = (
        resolve_blend(BlendOptions("auto", 70, 30), Frame(white_noise(clean, s / 255, rng)), lighter) for s in (2, 10)
    )
    assert little.measured is not None
    assert much.measured is not None
    assert little.strength < much.strength
    assert (much.luma, much.chroma) == (70, 30)
    assert f"strength {much.strength:.0f}" in much.sentence()
    unused = Fake()
    given = resolve_blend(BlendOptions(40.0), Frame(clean), unused)
    assert not unused.sizes
    assert given == Blend(40)
    assert given.measured is None
    assert given.sentence() == ""


@pytest.mark.parametrize("wrong", [Blend, BlendOptions])
def test_values_out_of_range_are_refused_before_any_photo_is_read(wrong: type) -> None:
    with pytest.raises(UsageError, match="`strength`"):
        wrong(101)
    with pytest.raises(UsageError, match="`luma`"):
        wrong(50, 200)


def test_a_tiny_photo_stays_as_it_is() -> None:
    assert resolve_blend(BlendOptions("auto"), Frame(np.full((1, 1, 3), 9, np.uint8)), Fake()).strength == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (150, 140), (500, 650)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_change_is_measured_on_patches_of_any_photo(size: tuple[int, int], channels: int) -> None:
    backend = Fake(lambda tile: tile + np.float32(10 / 255))
    photo = Frame(np.full((*size, channels), 100, np.uint8))
    assert mean_square_change(photo, backend) == pytest.approx(100, rel=1e-3)
    assert sum(h * w for h, w in backend.sizes) < 5e5


@pytest.mark.parametrize(("side", "count"), [(100, 1), (200, 1), (384, 2), (500, 3), (1000, 3)])
def test_patches_of_small_photos_are_distinct(side: int, count: int) -> None:
    backend = Fake()
    mean_square_change(Frame(np.full((200, side, 3), 100, np.uint8)), backend)
    assert len(backend.sizes) == count


def test_patches_and_photo_are_told_the_same_noise() -> None:
    """Half of the photo has none: patches would find other noise than the whole photo."""
    heard: set[float] = set()
    fake = Fake(lambda tile: heard.update(np.unique(tile[:, 3:])) or tile[:, :3], replace(SPEC, noise_level=True))
    half = np.full((500, 650, 3), 100, np.uint8)
    half[:, 300:] = 255 * white_noise(np.full((500, 350, 3), 0.5, np.float32), 0.05, np.random.default_rng(0))
    choice = resolve_blend(BlendOptions("auto"), Frame(half), fake)
    process(Frame(half), fake, choice)
    (level,) = heard
    assert choice.noise == pytest.approx(255 * float(level))
    assert choice.noise == pytest.approx(estimate(half).luma)
    assert resolve_blend(BlendOptions(50), Frame(half), fake).noise is None


def test_luma_noise_that_may_be_texture_is_not_what_the_network_removes() -> None:
    """A lawn, with its doubt in the result's warnings; a level that is given is not doubted."""
    levels: list[float] = []
    backend = Fake(lambda tile: levels.append(255 * tile[0, 3, 0, 0]) or tile[:, :3], replace(SPEC, noise_level=True))
    blades = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (256, 256)), (0, 0), 1.0)
    lawn = np.array([0.35, 0.45, 0.25]) + 0.35 * blades[..., None] * np.array([0.95, 1.05, 0.85])
    photo = Frame(np.clip(lawn, 0, 1).astype(np.float32))
    measured = estimate(photo.pixels)
    (warning,) = process(photo, backend).warnings
    assert f"Luma noise of {measured.luma:.1f}" in warning
    assert f"`noise={measured.luma:.0f}`" in warning
    chosen = resolve_blend(BlendOptions("auto"), photo, backend)
    assert "may be texture" in chosen.sentence()
    process(photo, backend, chosen)
    np.testing.assert_allclose(levels, measured.trusted_luma, rtol=1e-4)
    given = resolve_blend(BlendOptions("auto", noise=measured.luma), photo, backend)
    assert given.noise == measured.luma
    assert process(photo, backend, given).warnings == ()


def test_what_the_user_knows_of_the_noise_counts() -> None:
    asks, deaf = Fake(lambda tile: tile[:, :3] + np.float32(10 / 255), replace(SPEC, noise_level=True)), Fake()
    photo = Frame(np.full((64, 64, 3), 100, np.uint8))
    assert resolve_blend(BlendOptions(noise=8.0), photo, asks).noise == 8
    chosen = resolve_blend(BlendOptions("auto", noise=8.0), photo, asks)
    assert chosen.noise == 8
    assert chosen.strength == pytest.approx(64, rel=1e-3)  # noise of 8, and a change of 10
    assert chosen.measured == estimate(photo.pixels)
    assert "noise 0.0 (luma) and 0.0 (chroma) of 255, luma is given as 8.0" in chosen.sentence()
    with pytest.raises(UsageError, match="no noise level as input"):
        resolve_blend(BlendOptions(noise=8.0), photo, deaf)
    for wrong in (-1, 300, float("nan")):
        with pytest.raises(UsageError, match="`noise` must be from 0 to 255"):
            BlendOptions(noise=wrong)


@pytest.mark.parametrize("name", ["adobe", "prophoto", "linear"])
def test_the_same_photo_in_another_encoding_gets_the_same_strength(name: str) -> None:
    """Noise and change are both measured in sRGB."""
    icc = rgb_profile("srgb", gamma(1)) if name == "linear" else rgb_profile(name)
    space, _ = colour_space(Metadata(icc), 3)
    assert space is not None
    clean = 0.1 + 0.6 * sample_picture(256, 320, np.random.default_rng(0))
    noisy = white_noise(clean, 8 / 255, np.random.default_rng(1))
    backend = Fake(lambda tile: np.stack([cv2.blur(plane, (5, 5)) for plane in tile[0]])[None])
    in_srgb, other = (
        resolve_blend(BlendOptions("auto"), Frame(from_unit(pixels, np.uint16), metadata=metadata), backend).strength
        for pixels, metadata in ((noisy, Metadata()), (space.from_srgb(noisy), Metadata(icc)))
    )
    assert 20 < in_srgb < 90
    assert other == pytest.approx(in_srgb, abs=1.5)

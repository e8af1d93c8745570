"""Photos in profiles of look-up tables are denoised as their sRGB twins are, and keep what lies outside every gamut."""

import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from icc_builders import D50_XYZ, build_profile, gamma, lookup_profile, lookup_table, rgb_profile, rgb_to_xyz
from image_builders import random_frame

from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, Metadata, to_unit
from nsp_cli.image.colour import colour_space
from nsp_cli.image.lookup import LookupSpace, lookup_space
from nsp_cli.image.metadata.icc import SRGB_CURVE
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.simulation.scene import sample_picture
from tests.engine.test_process import Fake

pytest.importorskip("imagecodecs")
TONE = 1.8
NODES = np.linspace(0, 1, 33)
GRID = np.stack(np.meshgrid(NODES, NODES, NODES, indexing="ij"), -1)
P3_TO_SRGB = np.linalg.inv(rgb_to_xyz("srgb")) @ rgb_to_xyz("p3")


def to_lab(xyz: np.ndarray) -> np.ndarray:
    t = xyz / D50_XYZ
    f = np.where(t > (6 / 29) ** 3, np.cbrt(np.maximum(t, 1e-9)), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def xyz_profile() -> bytes:
    """P3 primaries with a gamma of 1.8, which is the curve before a table of 2 nodes."""
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1) @ rgb_to_xyz("p3").T
    return lookup_profile(lookup_table(corners, np.linspace(0, 1, 4096) ** TONE))


def lab_profile() -> bytes:
    """The same colours as 33³ nodes in CIELAB, of a printer."""
    colours = to_lab((GRID**TONE) @ rgb_to_xyz("p3").T)
    return lookup_profile(lookup_table(colours, np.array([0.0, 1.0]), lab=True), lab=True, kind=b"prtr")


def scanner_profile() -> bytes:
    """Colours that no matrix has: channels with crosstalk, whose strength depends on the value."""
    light = GRID**2.2
    mixed = light + 0.25 * light * (light[..., [1, 2, 0]] - light)
    return lookup_profile(lookup_table(mixed @ rgb_to_xyz("adobe").T, np.linspace(0, 1, 1024)))


PROFILES = {"xyz": xyz_profile(), "lab": lab_profile(), "scanner": scanner_profile()}


def space_of(icc: bytes) -> LookupSpace:
    space, warnings = colour_space(Metadata(icc=icc), 3)
    assert isinstance(space, LookupSpace)
    assert warnings == ()
    return space


def p3_to_srgb(stored: np.ndarray) -> np.ndarray:
    """By the formulas, for `xyz_profile` and `lab_profile`."""
    return SRGB_CURVE.from_linear((np.clip(stored, 0, 1) ** TONE @ P3_TO_SRGB.T).astype(np.float32))


def noisy_photo(*, muted: bool = False) -> np.ndarray:
    """(96, 128, 3) uint16 in P3 with a gamma of 1.8, with colours that sRGB does not have unless it is muted."""
    rng = np.random.default_rng(0)
    scene = sample_picture(96, 128, rng).astype(np.float64)
    scene[:32, :32] = (0.1, 0.85, 0.15)
    scene[:32, 32:64] = (0.9, 0.12, 0.1)
    if muted:
        grey = scene.mean(2, keepdims=True)
        scene = 0.25 + 0.5 * (grey + 0.3 * (scene - grey))
    return np.rint(65535 * np.clip(scene + rng.normal(0, 0.03, scene.shape), 0, 1)).astype(np.uint16)


def smooth(tile: np.ndarray) -> np.ndarray:
    return np.stack([cv2.blur(plane, (5, 5)) for plane in tile[0]])[None]


@pytest.mark.parametrize("name", ["xyz", "lab"])
def test_the_result_is_that_of_the_srgb_twin(name: str) -> None:
    """Within a tenth of a level of 255."""
    stored = noisy_photo(muted=True)
    twin = Frame(p3_to_srgb(stored / 65535))
    assert 0.02 < twin.pixels.min() < twin.pixels.max() < 0.98
    expected = process(twin, Fake(smooth)).pixels
    result = process(Frame(stored, metadata=Metadata(icc=PROFILES[name])), Fake(smooth))
    assert (result.pixels.dtype, result.metadata.icc, result.warnings) == (stored.dtype, PROFILES[name], ())
    assert np.abs(expected - twin.pixels).mean() > 3 / 255
    assert 255 * np.abs(p3_to_srgb(result.pixels / 65535) - expected).max() < 0.1


def test_the_result_is_that_of_the_same_colours_by_primaries() -> None:
    """Outside sRGB's gamut too; there the 16 bits of a table are coarse where one channel is nearly black."""
    stored = noisy_photo()
    assert p3_to_srgb(stored / 65535).min() < -0.2
    by_primaries, by_table = (
        process(Frame(stored, metadata=Metadata(icc=icc)), Fake(smooth), Blend(80, 60, 100)).pixels.astype(int)
        for icc in (rgb_profile("p3", gamma(TONE)), PROFILES["xyz"])
    )
    error = np.abs(by_primaries - by_table) / 257
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.999) < 1
    assert error.max() < 5


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_not_changed_stays_bit_for_bit(name: str, dtype: str) -> None:
    frame = random_frame(dtype, size=(40, 50), metadata=Metadata(icc=PROFILES[name]))
    pixels = frame.pixels.copy()
    pixels[:4, :8] = [0, np.iinfo(dtype).max if dtype != "float32" else 1.5, 0]  # a corner of every gamut, or beyond
    frame = frame.with_pixels(pixels)
    assert process(frame, Fake(), Blend(0)).pixels is pixels
    np.testing.assert_array_equal(process(frame, Fake()).pixels, pixels)
    half = process(frame, Fake(lambda tile: np.where(np.arange(tile.shape[-1]) < 25, tile, tile * 0.9)))
    np.testing.assert_array_equal(half.pixels[:, :25], pixels[:, :25])
    inside = (pixels[:, 25:] > 0) & (to_unit(pixels[:, 25:]) < 1)
    assert (half.pixels[:, 25:] != pixels[:, 25:])[inside].mean() > 0.9


@pytest.mark.parametrize("name", PROFILES)
def test_there_and_back(name: str) -> None:
    """From the colours around, as far as noise reaches."""
    space, rng = space_of(PROFILES[name]), np.random.default_rng(1)
    near = rng.uniform(0.03, 0.97, (50, 60, 3)).astype(np.float32)
    goal = np.clip(near + rng.normal(0, 0.05, near.shape), 0.02, 0.98).astype(np.float32)
    found = space.restore(space.to_srgb(goal), near)
    missed = 255 * np.abs(space.to_srgb(found) - space.to_srgb(goal))
    assert np.quantile(missed, 0.999) < 0.5
    assert missed.max() < 1
    np.testing.assert_array_equal(space.restore(space.to_srgb(near), near), near)
    beyond = near + 2
    np.testing.assert_array_equal(space.restore(space.to_srgb(beyond), beyond), beyond)


def test_colours_agree_with_the_formulas_and_reach_beyond_srgb() -> None:
    colours = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    for name in ("xyz", "lab"):
        error = 255 * np.abs(space_of(PROFILES[name]).to_srgb(colours) - p3_to_srgb(colours))
        assert np.quantile(error, 0.9) < 0.2
        assert error.max() < 5
        assert space_of(PROFILES[name]).limits[0] < -0.1


def test_enlarging() -> None:
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=4, working_bytes=100)
    backend = Fake(lambda tile: 0.9 * tile.repeat(2, 2).repeat(2, 3), spec)
    frame = Frame(noisy_photo(muted=True), metadata=Metadata(icc=PROFILES["lab"]))
    result = process(frame, backend)
    assert result.size == (192, 256)
    twin = process(Frame(p3_to_srgb(frame.pixels / 65535)), backend).pixels
    assert 255 * np.abs(p3_to_srgb(result.pixels / 65535) - twin).max() < 0.1


@pytest.fixture
def without_imagecodecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    lookup_space.cache_clear()
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    yield
    lookup_space.cache_clear()


@pytest.mark.usefixtures("without_imagecodecs")
def test_without_the_extra_a_sentence_names_it() -> None:
    frame = Frame(noisy_photo(), metadata=Metadata(icc=PROFILES["lab"]))
    result = process(frame, Fake(smooth))
    assert result.warnings == (
        "The colour profile is kept but not used, it describes its colours by look-up tables: install imagecodecs with:"
        " pip install imagecodecs; the photo is denoised as sRGB.",
    )
    assert result.metadata == frame.metadata
    np.testing.assert_array_equal(result.pixels, process(Frame(frame.pixels), Fake(smooth)).pixels)


@pytest.mark.parametrize(
    ("icc", "channels", "reason"),
    [
        (PROFILES["lab"][:-100_000], 3, "LittleCMS cannot use"),
        (lookup_profile(lookup_table(np.full((2, 2, 2, 3), 0.5), np.array([0.0, 1.0]))), 3, "make no colours"),
        (lookup_profile(lookup_table(GRID, np.array([0.0, 1.0])), kind=b"link"), 3, "no device's colours"),
        (PROFILES["xyz"], 1, "for RGB pictures"),
        (build_profile({b"A2B0": b"mft2"}, b"GRAY", b"Lab "), 1, "grey by look-up tables"),
    ],
)
def test_a_table_of_no_use_is_named(icc: bytes, channels: int, reason: str) -> None:
    space, (warning,) = colour_space(Metadata(icc=icc), channels)
    assert space is None
    assert reason in warning


@pytest.mark.slow
def test_damage_anywhere_is_a_warning_and_never_a_traceback() -> None:
    rng, good = np.random.default_rng(0), lookup_profile(lookup_table(GRID[::8, ::8, ::8], np.array([0.0, 1.0])))
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(0, 300, 3):
            bad[place] = rng.integers(256)
        space, warnings = colour_space(Metadata(icc=bytes(bad)), 3)
        assert (space is None) is (len(warnings) == 1)
        if space is not None:
            assert np.isfinite(space.restore(np.ones((2, 2, 3), np.float32), np.zeros((2, 2, 3), np.float32))).all()

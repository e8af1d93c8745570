"""Colours of other profiles reach the network as sRGB, and come back as they were."""

import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from icc_builders import (
    SRGB_TONE,
    build_profile,
    gamma,
    grey_profile,
    parametric,
    rgb_profile,
    rgb_to_xyz,
    table,
)
from image_builders import random_frame
from PIL import Image, ImageCms

from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, Metadata, encode, read, read_srgb, to_unit, write
from nsp_cli.image.colour import ColourSpace, colour_space
from nsp_cli.image.metadata.exif import EXIF_POINTER, INTEROP_POINTER
from nsp_cli.image.metadata.icc import parse_profile
from nsp_cli.image.metadata.ifd import LONG, append_directory
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.training.data import PhotoCache
from tests.engine.test_process import Fake

GRID = np.linspace(0, 1, 18, dtype=np.float32)
COLOURS = np.stack(np.meshgrid(GRID, GRID, GRID, indexing="ij"), axis=-1).reshape(18, -1, 3)
TONES = {
    "gamma": gamma(2.2),
    "linear": b"curv" + bytes(8),
    "parametric 0": parametric(0, 1.8),
    "parametric 1": parametric(1, 2.2, 1.1, -0.1),
    "parametric 2": parametric(2, 2.2, 0.99, 0.01, 0.0),
    "parametric 3": SRGB_TONE,
    "parametric 4": parametric(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
    "table": table(np.linspace(0, 1, 1024) ** 2.2),
    "table with a flat start": table(np.maximum(np.linspace(-0.02, 1, 256), 0) ** 2),
}
WIDE = ["p3", "adobe", "prophoto"]


def space_of(icc: bytes, channels: int = 3) -> ColourSpace:
    space, warnings = colour_space(Metadata(icc=icc), channels)
    assert warnings == ()
    assert space is not None
    return space


def encoded_srgb(linear: np.ndarray) -> np.ndarray:
    size = np.abs(linear)
    return np.sign(linear) * np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("name", WIDE)
def test_colours_are_where_their_primaries_say(name: str) -> None:
    """Against the definition in float64, saturated colours outside sRGB's gamut included."""
    power = {"p3": None, "adobe": 563 / 256, "prophoto": round(1.8 * 256) / 256}[name]
    exact = COLOURS.astype(np.float64)
    linear = exact**power if power else np.where(exact <= 0.04045, exact / 12.92, ((exact + 0.055) / 1.055) ** 2.4)
    to_srgb = np.linalg.inv(rgb_to_xyz("srgb")) @ rgb_to_xyz(name)
    wanted = encoded_srgb(linear @ to_srgb.T)
    found = space_of(rgb_profile(name)).to_srgb(COLOURS)
    assert wanted.min() < -0.1
    assert np.abs(found - wanted).max() < 3e-3, "a profile's numbers have 16 bits"
    greys = np.repeat(GRID, 3).reshape(1, -1, 3)
    srgb_greys = space_of(rgb_profile(name)).to_srgb(greys)
    assert np.ptp(srgb_greys, axis=-1).max() < 1e-6, "greys stay grey"


@pytest.mark.parametrize("name", WIDE)
def test_in_gamut_colours_agree_with_littlecms(name: str) -> None:
    icc = rgb_profile(name)
    to_srgb = space_of(icc).to_srgb(COLOURS)
    inside = ((to_srgb > 0.02) & (to_srgb < 0.98)).all(axis=-1)
    assert inside.sum() > 500
    picture = np.rint(COLOURS * 255).astype(np.uint8)
    profiles = ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
    theirs = ImageCms.profileToProfile(Image.fromarray(picture), *profiles, renderingIntent=1)
    assert theirs is not None
    ours = space_of(icc).to_srgb(picture.astype(np.float32) / 255) * 255
    assert np.abs(np.asarray(theirs) - ours)[inside].max() < 1.5


@pytest.mark.parametrize("tone", TONES.values(), ids=TONES.keys())
@pytest.mark.parametrize("name", WIDE)
def test_there_and_back(name: str, tone: bytes) -> None:
    space = space_of(rgb_profile(name, tone))
    lowest = 0.2 if tone in (TONES["parametric 1"], TONES["table with a flat start"]) else 1e-2
    colours = np.clip(COLOURS, lowest, 1)
    back = space.from_srgb(space.to_srgb(colours))
    # float32 holds a saturated colour's dark channel to this; the engine adds the change alone and is exact.
    assert np.abs(back - colours).max() < 2.5e-5
    beyond = np.concatenate([colours * 3, -colours])
    assert np.abs(space.from_srgb(space.to_srgb(beyond)) - beyond).max() < 1e-4


@pytest.mark.parametrize("tone", TONES.values(), ids=TONES.keys())
def test_tones_agree_with_littlecms(tone: bytes) -> None:
    """Also checked by hand with imagecodecs' float32 transform, to 1e-4."""
    icc, steps = grey_profile(tone), np.arange(256, dtype=np.uint8)[None]
    linear = b"curv" + bytes(8)
    profiles = (ImageCms.ImageCmsProfile(BytesIO(data)) for data in (icc, grey_profile(linear)))
    theirs = ImageCms.profileToProfile(Image.fromarray(steps), *profiles, renderingIntent=1)
    (curve,) = parse_profile(icc).curves
    assert theirs is not None
    assert np.abs(np.asarray(theirs) - 255 * curve.to_linear(steps.astype(np.float32) / 255)).max() < 1


@pytest.mark.parametrize("size", [(1, 1), (301, 997)])
def test_blocks_agree_with_the_whole(size: tuple[int, int]) -> None:
    space = space_of(rgb_profile("p3"))
    pixels = random_frame("float32", size=size).pixels
    whole = space.to_srgb(pixels)  # pyright: ignore[reportArgumentType]
    assert whole.shape == pixels.shape
    part = np.ascontiguousarray(pixels[-1:, -1:])
    np.testing.assert_allclose(whole[-1:, -1:], space.to_srgb(part), atol=1e-6)  # pyright: ignore[reportArgumentType]


def test_a_photo_is_read_as_srgb_whatever_its_profile(tmp_path: Path) -> None:
    pixels = np.rint(COLOURS * 65535).astype(np.uint16)
    wide = Frame(pixels, metadata=Metadata(icc=rgb_profile("p3")))
    write(wide, tmp_path / "p3.png")
    write(Frame(pixels), tmp_path / "plain.png")
    found = read_srgb(tmp_path / "p3.png")
    np.testing.assert_array_equal(found, np.clip(space_of(rgb_profile("p3")).to_srgb(to_unit(pixels)), 0, 1))
    assert np.abs(found - to_unit(pixels)).max() > 0.1
    np.testing.assert_array_equal(PhotoCache(10**8).get(tmp_path / "p3.png")[0], found)  # and so it is trained on
    assert np.array_equal(read_srgb(tmp_path / "plain.png"), pixels)


def test_srgb_by_any_name_is_not_converted() -> None:
    built_in = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    steps = np.linspace(0, 1, 1024)
    sampled = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    for icc in (None, built_in, rgb_profile("srgb"), rgb_profile("srgb", table(sampled))):
        assert colour_space(Metadata(icc=icc), 3) == (None, ())
    for icc in (None, built_in, grey_profile(SRGB_TONE)):
        assert colour_space(Metadata(icc=icc), 1) == (None, ())
    assert space_of(rgb_profile("srgb", gamma(2.2)))
    assert space_of(grey_profile(), 1)
    assert space_of(rgb_profile("adobe"), 1).matrix is None


def test_adobe_rgb_that_only_exif_tells() -> None:
    def marked(index: bytes) -> bytes:
        out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
        interop = append_directory(out, "<", [(1, 2, 4, index)])
        sub = append_directory(out, "<", [(INTEROP_POINTER, LONG, 1, struct.pack("<I", interop))])
        struct.pack_into("<I", out, 4, append_directory(out, "<", [(EXIF_POINTER, LONG, 1, struct.pack("<I", sub))]))
        return bytes(out)

    adobe, _ = colour_space(Metadata(exif=marked(b"R03\0")), 3)
    assert adobe is not None
    np.testing.assert_allclose(adobe.to_srgb(COLOURS), space_of(rgb_profile("adobe")).to_srgb(COLOURS), atol=2e-3)
    assert colour_space(Metadata(exif=marked(b"R98\0")), 3) == (None, ())
    assert colour_space(Metadata(rgb_profile("srgb"), marked(b"R03\0")), 3) == (None, ())


@pytest.mark.parametrize(
    ("icc", "channels", "reason"),
    [
        (b"profile", 3, "not an ICC profile"),
        (rgb_profile("p3")[:140], 3, "cut off"),
        (rgb_profile("p3")[:-30], 3, "tone curve is damaged"),
        (rgb_profile("p3", table(np.linspace(1, 0, 64))), 3, "does not rise"),
        (rgb_profile("p3", parametric(1, 2.2, 0.0, 0.1)), 3, "does not rise"),
        (rgb_profile("p3", gamma(0)), 3, "does not rise"),
        (rgb_profile("p3", b"curv" + bytes(4) + b"\xff" * 8), 3, "damaged"),
        (rgb_profile("p3", parametric(9)), 3, "damaged"),
        (build_profile({b"kTRC": gamma(2.2)}, b"RGB "), 3, "look-up tables"),
        (build_profile({b"A2B0": b"mft2"}, b"RGB ", b"Lab "), 3, "look-up tables"),
        (build_profile({b"rTRC": gamma(2), b"gTRC": gamma(2), b"bTRC": gamma(2)}), 3, "primary is missing"),
        (build_profile({b"A2B0": b"mft2"}, b"CMYK", b"Lab "), 3, "CMYK"),
        (grey_profile(), 3, "grey pictures"),
    ],
)
def test_a_profile_of_no_use_is_named_and_kept(icc: bytes, channels: int, reason: str) -> None:
    space, warnings = colour_space(Metadata(icc=icc), channels)
    assert space is None
    assert len(warnings) == 1
    assert reason in warnings[0]
    frame = random_frame(metadata=Metadata(icc=icc))
    result = process(frame, Fake(lambda tile: tile * 0.5))
    assert result.metadata == frame.metadata
    assert result.warnings == warnings
    plain = process(Frame(frame.pixels), Fake(lambda tile: tile * 0.5))
    np.testing.assert_array_equal(result.pixels, plain.pixels)


def test_damage_anywhere_is_a_warning_and_never_a_traceback() -> None:
    rng = np.random.default_rng(0)
    for good, channels in ((rgb_profile("p3"), 3), (grey_profile(TONES["table"]), 1)):
        for _ in range(400):
            bad = bytearray(good)
            for place in rng.integers(0, len(bad), rng.integers(1, 9)):
                bad[place] = rng.integers(256)
            with np.errstate(all="ignore"):
                space, warnings = colour_space(Metadata(icc=bytes(bad[: rng.integers(1, 2 * len(bad))])), channels)
            assert space is None or warnings == ()


PROFILES = {"srgb": rgb_profile("srgb"), **{name: rgb_profile(name) for name in WIDE}, "grey": grey_profile()}
FORMATS = [("png", "uint8"), ("png", "uint16"), ("tiff", "uint8"), ("tiff", "uint16"), ("tiff", "float32")]
EVERY = pytest.mark.parametrize(("format", "dtype"), FORMATS)
EVERY_PROFILE = pytest.mark.parametrize("profile", PROFILES)


def stored(format: str, dtype: str, profile: str, alpha: bool) -> Frame:
    """A photo of random colours, most of them outside sRGB's gamut, that came from a file."""
    metadata = Metadata(icc=PROFILES[profile])
    return read(encode(random_frame(dtype, 1 if profile == "grey" else 3, alpha, metadata=metadata), format)[0])


@EVERY
@EVERY_PROFILE
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("strength", [0, 50, 100])
def test_what_the_network_leaves_alone_comes_back_bit_for_bit(
    format: str, dtype: str, profile: str, alpha: bool, strength: float
) -> None:
    frame = stored(format, dtype, profile, alpha)
    found = read(encode(process(frame, Fake(), Blend(strength), tile=8), format)[0])
    np.testing.assert_array_equal(found.channels(), frame.channels())
    assert found.metadata == frame.metadata
    assert found.metadata.icc == PROFILES[profile]


@EVERY
@EVERY_PROFILE
def test_a_small_change_changes_little(format: str, dtype: str, profile: str) -> None:
    """A backend that shifts sRGB by 1e-6 moves no colour that is not nearly black by more than 16 bits can tell."""
    frame = stored(format, dtype, profile, False)
    bright = frame.pixels > 0.1 * (1.0 if dtype == "float32" else np.iinfo(dtype).max)
    found = process(frame, Fake(lambda tile: tile + np.float32(1e-6)), tile=8).pixels
    step = 2e-5 if dtype == "float32" else 1
    assert np.abs(found.astype(np.float64) - frame.pixels)[bright].max() <= step


@pytest.mark.parametrize("profile", [*WIDE, "grey"])
def test_the_network_sees_srgb_and_the_profile_sees_the_result(profile: str) -> None:
    """A mid grey of any profile is darkened as sRGB says."""
    channels = 1 if profile == "grey" else 3
    frame = Frame(np.full((8, 8, channels), 0.5, np.float32), metadata=Metadata(icc=PROFILES[profile]))
    space, seen = space_of(PROFILES[profile], channels), []

    def halve(tile: np.ndarray) -> np.ndarray:
        seen.append(tile)
        return tile / 2

    result = process(frame, Fake(halve)).pixels
    wanted = space.to_srgb(np.full((8, 8, channels), 0.5, np.float32))
    np.testing.assert_allclose(seen[0][0].transpose(1, 2, 0)[..., :channels], wanted, atol=1e-6)
    np.testing.assert_allclose(result, space.from_srgb(wanted / 2), atol=1e-6)
    np.testing.assert_allclose(space.to_srgb(result), wanted / 2, atol=1e-5)  # pyright: ignore[reportArgumentType]


def test_enlarging_keeps_colours_outside_srgb() -> None:
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=4, working_bytes=100)
    backend = Fake(lambda tile: tile.repeat(2, 2).repeat(2, 3), spec)
    pixels = np.zeros((16, 16, 3), np.uint16)
    pixels[..., 1] = 65535
    frame = Frame(pixels, metadata=Metadata(icc=PROFILES["p3"]))
    for strength in (0, 100):
        found = process(frame, backend, Blend(strength), tile=8)
        assert found.size == (32, 32)
        assert np.abs(found.pixels.astype(int) - pixels[0, 0]).max() <= 40, "pure P3 green"


@pytest.mark.parametrize("profile", WIDE)
def test_noise_goes_outside_srgb_s_gamut_too(profile: str) -> None:
    """A saturated colour is denoised as well as a muted one; with clipped input its noise would double."""
    rng = np.random.default_rng(0)

    def blur(tile: np.ndarray) -> np.ndarray:
        return np.stack([cv2.blur(plane, (5, 5)) for plane in tile[0]])[None]

    for colour in ((0.4, 0.5, 0.3), (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)):
        pixels = np.rint(65535 * (np.array(colour) + rng.normal(0, 0.02, (64, 64, 3)))).astype(np.uint16)
        result = process(Frame(pixels, metadata=Metadata(icc=PROFILES[profile])), Fake(blur)).pixels
        left = result[8:-8, 8:-8].std((0, 1)) / pixels.std((0, 1))
        assert left.max() < 0.35, colour
        assert np.abs(result.mean((0, 1)) - pixels.mean((0, 1))).max() < 65535 * 0.03


def test_float_highlights_stay_with_a_profile() -> None:
    pixels = np.full((16, 16, 3), 0.5, np.float32)
    pixels[4, 4] = 3.0
    result = process(Frame(pixels, metadata=Metadata(icc=PROFILES["p3"])), Fake(lambda tile: tile * 0.9)).pixels
    assert (result[4, 4] > 2.5).all()
    assert (result[0, 0] < 0.5).all()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["png", "jpeg", "tiff", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_container_keeps_profile_and_orientation(name: str, profile: str, orientation: int) -> None:
    """Through the engine at strength 0 and 100, against Pillow; the pixels of lossless ones are exact."""
    exif = bytearray(b"II*\0\0\0\0\0")
    struct.pack_into("<I", exif, 4, append_directory(exif, "<", [(274, 3, 1, struct.pack("<H", orientation))]))
    channels = 3 if profile != "grey" or name == "webp" else 1
    icc = PROFILES[profile] if channels == 1 or profile != "grey" else PROFILES["p3"]
    frame = random_frame("uint8", channels, size=(16, 24), metadata=Metadata(icc, bytes(exif)))
    for strength in (0, 100):
        data, warnings = encode(process(frame, Fake(), Blend(strength)), name)
        assert warnings == ()
        with Image.open(BytesIO(data)) as image:
            assert image.info["icc_profile"] == icc
            assert image.getexif().get(274, 1) == orientation
        if name in ("png", "tiff"):
            np.testing.assert_array_equal(read(data).pixels, frame.pixels)


def test_the_network_is_told_the_noise_that_srgb_shows() -> None:
    """In linear light, shadows have much less noise than they will show."""
    heard: list[np.ndarray] = []
    spec = PipelineSpec(task="denoise", scale=1, multiple=2, halo=4, working_bytes=100, noise_level=True)
    backend = Fake(lambda tile: heard.append(tile[:, 3:]) or tile[:, :3], spec)
    linear = np.clip(0.02 + 0.002 * np.random.default_rng(0).standard_normal((96, 96, 3)), 0, 1).astype(np.float32)
    profile = rgb_profile("srgb", TONES["linear"])
    encoded = encoded_srgb(linear).astype(np.float32)
    for photo in (Frame(linear, metadata=Metadata(icc=profile)), Frame(encoded), Frame(linear)):
        process(photo, backend)
    in_linear, in_srgb, unsaid = (float(plane.mean()) for plane in heard)
    assert in_linear == pytest.approx(in_srgb, rel=0.02)
    assert unsaid < in_srgb / 2

"""Colours that a file describes without an ICC profile keep their meaning; further pictures inside are named."""

import struct
from io import BytesIO

import numpy as np
import pytest
from icc_builders import rgb_to_xyz
from image_builders import random_frame, smooth_frame
from PIL import Image, ImageCms

from nsp_cli.errors import InputError
from nsp_cli.image import Frame, Metadata, colour_space, encode, read
from nsp_cli.image.codecs.png import build, split_chunks
from nsp_cli.image.metadata.boxes import boxes
from nsp_cli.image.metadata.exif import EXIF_POINTER, INTEROP_POINTER
from nsp_cli.image.metadata.icc import parse_profile
from nsp_cli.image.metadata.ifd import append_directory

P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def png(*extra: tuple[bytes, bytes], channels: int = 3) -> bytes:
    head, *rest = split_chunks(encode(random_frame("uint8", channels), "png")[0])
    return build([head, *extra, *rest])


def avif(primaries: int, transfer: int) -> bytes:
    data = encode(Frame(smooth_frame().pixels), "avif")[0]
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def chrm(*values: int) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


@pytest.mark.parametrize(
    "data",
    [avif(12, 13), png(chrm(*P3_CHRM)), png(chrm(*P3_CHRM), gama(45455)), png((b"cICP", bytes([12, 13, 0, 1])))],
    ids=["nclx", "cHRM", "cHRM and gAMA", "cICP"],
)
def test_display_p3_without_a_profile_gets_one(data: bytes) -> None:
    found = read(data)
    assert found.warnings == ()
    assert found.metadata.icc is not None
    matrix = parse_profile(found.metadata.icc).matrix
    assert matrix is not None
    np.testing.assert_allclose(matrix, rgb_to_xyz("p3"), atol=1e-4)
    for format in ("png", "jpeg", "tiff", "webp", "avif"):
        assert read(encode(found, format)[0]).metadata.icc == found.metadata.icc
    # LittleCMS is the judge: the definition in float64.
    linear = ((np.array([200, 100, 50]) / 255 + 0.055) / 1.055) ** 2.4
    in_srgb = 1.055 * (np.linalg.inv(rgb_to_xyz("srgb")) @ rgb_to_xyz("p3") @ linear) ** (1 / 2.4) - 0.055
    picture = Image.fromarray(np.full((1, 1, 3), (200, 100, 50), np.uint8))
    profiles = ImageCms.ImageCmsProfile(BytesIO(found.metadata.icc)), ImageCms.createProfile("sRGB")
    theirs = ImageCms.profileToProfile(picture, *profiles, renderingIntent=1)
    assert np.abs(np.asarray(theirs, np.float64)[0, 0] - 255 * in_srgb).max() < 1


@pytest.mark.parametrize("transfer", [1, 4, 8, 13])
def test_rec_2020_and_other_curves(transfer: int) -> None:
    icc = read(avif(9, transfer)).metadata.icc
    assert icc is not None
    (curve, *_) = parse_profile(icc).curves
    wanted = {1: ((0.5 + 0.099) / 1.099) ** (1 / 0.45), 4: 0.5**2.2, 8: 0.5, 13: ((0.5 + 0.055) / 1.055) ** 2.4}
    assert float(curve.to_linear(np.array([0.5], np.float32))[0]) == pytest.approx(wanted[transfer], abs=1e-4)


def test_srgb_by_numbers_needs_no_profile() -> None:
    for data in (avif(1, 13), avif(2, 2), png(chrm(*SRGB_CHRM)), png(chrm(*SRGB_CHRM), gama(45455)), png(gama(45455))):
        assert read(data).metadata.icc is None
    assert read(png(chrm(*P3_CHRM), (b"sRGB", b"\0"))).metadata.icc is None, "sRGB goes before cHRM"


@pytest.mark.parametrize("channels", [1, 3])
def test_gamma_alone(channels: int) -> None:
    found = read(png(gama(100_000), channels=channels))
    space, warnings = colour_space(found.metadata, channels)
    assert space is not None
    assert warnings == ()
    half = np.full((1, 1, channels), 0.5, np.float32)
    assert space.to_srgb(half) == pytest.approx(1.055 * 0.5 ** (1 / 2.4) - 0.055, abs=1e-3)


def test_a_profile_goes_before_numbers() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    head, *rest = split_chunks(encode(random_frame(metadata=Metadata(icc)), "png")[0])
    assert read(build([head, chrm(*P3_CHRM), *rest])).metadata.icc == icc


@pytest.mark.parametrize(("codes", "profile"), [((1, 13, 0, 1), False), ((9, 13, 0, 1), True), ((1, 13), True)])
def test_cicp_goes_before_a_profile(codes: tuple[int, ...], profile: bool) -> None:
    """PNG, third edition; a damaged one does not."""
    icc = read(avif(12, 13)).metadata.icc
    head, *rest = split_chunks(encode(random_frame(metadata=Metadata(icc)), "png")[0])
    found = read(build([head, (b"cICP", bytes(codes)), *rest]))
    assert (found.metadata.icc is not None) is profile
    assert (found.metadata.icc == icc) is (len(codes) < 4)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (avif(9, 16), "PQ"),
        (avif(9, 18), "HLG"),
        (png((b"cICP", bytes([9, 16, 0, 1]))), "PQ"),
        (png((b"cICP", bytes([1, 13, 0, 0]))), "full range"),
        (avif(40, 13), "primaries 40"),
    ],
)
def test_colours_that_cannot_be_kept_are_refused(data: bytes, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read(data)


def test_damaged_descriptions_are_named() -> None:
    for extra in (chrm(*[0] * 8), gama(0), (b"cICP", b"\1")):
        found = read(png(extra))
        assert found.metadata.icc is None
        assert "damaged" in found.warnings[0]


def with_clean_aperture(clap: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    """An AVIF whose box for a profile is turned into one for the clean aperture, and its pixels."""
    data = encode(smooth_frame((48, 64)), "avif")[0]
    whole = read(data).pixels
    icc = bytes(36 - 8)  # so that the box has the size of `clap`
    plain = BytesIO()
    Image.fromarray(smooth_frame((48, 64)).pixels).save(plain, "AVIF", quality=95, subsampling="4:4:4", icc_profile=icc)
    at, out = plain.getvalue().index(b"colrprof"), bytearray(plain.getvalue())
    out[at : at + 36] = b"clap" + struct.pack(">IIIIiIiI", *clap)
    place = out.index(b"\x01\x02\x83\x04\x05")  # numbers of the properties; 0x80 marks one that must be understood
    out[place + 3] |= 0x80
    return bytes(out), whole


def test_the_clean_aperture_is_applied() -> None:
    """20 x 10 pixels, 4 to the right of the centre and 3 above it."""
    data, whole = with_clean_aperture((20, 1, 10, 1, 4, 1, -3, 1))
    assert dict(boxes(data))
    np.testing.assert_array_equal(read(data).pixels, whole[16:26, 26:46])
    outside, _ = with_clean_aperture((20, 1, 10, 1, 40, 1, 0, 1))
    with pytest.raises(InputError, match="clean aperture"):
        read(outside)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_and_mirror_come_from_their_boxes(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    out = BytesIO()
    Image.fromarray(smooth_frame().pixels).save(out, "AVIF", exif=exif.tobytes())
    data = out.getvalue()
    again = Image.open(BytesIO(encode(read(data), "png")[0]))
    assert again.getexif().get(274, 1) == orientation


def test_a_gain_map_is_named() -> None:
    data = encode(Frame(smooth_frame().pixels), "avif")[0]
    at = data.index(b"infe") + 4
    entry = data[at : at + data[at - 8 : at - 4][-1] - 8]
    assert b"av01" in entry
    # The type of the only item: Pillow would not decode it, the boxes alone are looked at.
    from nsp_cli.image.codecs.avif import left_behind
    from nsp_cli.image.metadata.boxes import primary_picture

    assert left_behind(primary_picture(data), "AVIF") == ()
    (sentence,) = left_behind(primary_picture(data.replace(b"av01", b"tmap")), "AVIF")
    assert "gain map" in sentence


def marked_as_adobe() -> bytes:
    """EXIF of a camera that was set to Adobe RGB."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    interop = append_directory(out, "<", [(1, 2, 4, b"R03\0")])
    sub = append_directory(out, "<", [(INTEROP_POINTER, 4, 1, struct.pack("<I", interop))])
    struct.pack_into("<I", out, 4, append_directory(out, "<", [(EXIF_POINTER, 4, 1, struct.pack("<I", sub))]))
    return bytes(out)


@pytest.mark.parametrize(
    ("format", "keep_metadata", "profile"),
    [("jpeg", True, False), ("jpeg", False, True), ("png", True, True), ("webp", True, True), ("tiff", False, True)],
)
def test_adobe_rgb_that_only_exif_tells_stays_adobe_rgb(format: str, keep_metadata: bool, profile: bool) -> None:
    frame = Frame(np.full((8, 8, 3), 90, np.uint8), metadata=Metadata(exif=marked_as_adobe()))
    found = read(encode(frame, format, keep_metadata=keep_metadata)[0])
    assert (found.metadata.icc is not None) is profile
    before, after = (colour_space(item.metadata, 3)[0] for item in (frame, found))
    assert before is not None
    assert after is not None
    corners = np.eye(3, dtype=np.float32)[None]
    np.testing.assert_allclose(after.to_srgb(corners), before.to_srgb(corners), atol=2e-3)

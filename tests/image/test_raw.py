"""RAW files are developed to the colours that their maker defined, upright, with the camera's EXIF."""

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from image_builders import build_exif
from PIL import Image
from raw_builders import NEUTRAL, build_dng, mosaic

from nsp_cli.errors import InputError, OutputError, UsageError
from nsp_cli.image import SUFFIXES, WRITABLE, Frame, RawOptions, colour_space, encode, is_photo, read, write
from nsp_cli.image.codecs.raw_kinds import RAW_SUFFIXES, is_raw
from nsp_cli.image.formats import RAW, sniff
from nsp_cli.image.metadata.exif import parse_exif
from nsp_cli.image.metadata.ifd import append_directory
from nsp_cli.image.metadata.raw_exif import raw_exif

GREEN, GREY = (0.2, 0.5, 0.1), (0.4, 0.4, 0.4)


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """(H, W, 3) linear sRGB: green on the left, grey on the right."""
    linear = np.empty((height, width, 3))
    linear[:, : width // 2], linear[:, width // 2 :] = GREEN, GREY
    return linear


def linear(pixels: np.ndarray) -> np.ndarray:
    encoded = pixels / 65535
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


@pytest.fixture
def dng() -> bytes:
    return build_dng(mosaic(scene()))


def test_colours_are_what_the_camera_saw(dng: bytes) -> None:
    frame = read(dng)
    assert frame.container == "raw"
    assert frame.pixels.dtype == np.uint16
    assert frame.size == (48, 64)
    assert frame.warnings == ()
    np.testing.assert_allclose(linear(frame.pixels)[24, 10], GREEN, atol=2e-3)
    np.testing.assert_allclose(linear(frame.pixels)[24, 54], GREY, atol=2e-3)
    assert frame.metadata.icc is not None
    assert colour_space(frame.metadata, 3) == (None, ()), "its profile is sRGB"


def test_white_balance() -> None:
    picture = np.full((48, 64, 3), 0.3)
    picture[20:28, 20:28] = GREEN
    data = build_dng(mosaic(picture))
    camera, auto, daylight = (
        linear(read(data, RawOptions(name)).pixels)[5, 5] for name in ("camera", "auto", "daylight")
    )
    np.testing.assert_allclose(camera, 0.3, atol=2e-3)
    np.testing.assert_allclose(auto / auto[1], 1, atol=0.1)
    np.testing.assert_allclose(daylight, 0.3 * np.array(NEUTRAL), atol=2e-3)


def test_a_white_balance_that_is_not_in_the_file_is_named() -> None:
    """And it is estimated from the picture, as dcraw does."""
    data = build_dng(mosaic(np.full((48, 64, 3), 0.3)), neutral=None)
    frame = read(data)
    assert frame.warnings == (
        "The RAW file does not hold the camera's white balance: it is estimated from the picture (auto).",
    )
    found = linear(frame.pixels)[24, 54]
    np.testing.assert_allclose(found / found[1], 1, atol=1e-3)
    assert read(data, RawOptions("daylight")).warnings == ()
    assert read(data, RawOptions(linear=True)).warnings == (
        "The RAW file does not hold the camera's white balance: that of the DNG is for daylight.",
    )


@pytest.mark.parametrize("stops", [-2.0, -0.5, 0.0, 1.0, 3.0])
def test_exposure_is_in_stops_and_cut_at_white(dng: bytes, stops: float) -> None:
    found = linear(read(dng, RawOptions(exposure=stops)).pixels)[24, 10]
    np.testing.assert_allclose(found, np.minimum(np.array(GREEN) * 2**stops, 1), rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("wrong", [{"exposure": 6.0}, {"exposure": float("nan")}, {"white_balance": "moon"}])
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(UsageError, match=r"`white_balance`|`exposure`"):
        RawOptions(**wrong)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_the_picture_is_upright_and_exif_says_so(orientation: int, turns: int) -> None:
    upright = read(build_dng(mosaic(scene()))).pixels
    frame = read(build_dng(mosaic(scene()), orientation=orientation))
    np.testing.assert_array_equal(frame.pixels, np.rot90(upright, turns))
    assert frame.metadata.exif is not None
    tree, first = parse_exif(frame.metadata.exif)
    assert tree.number(first.fields[274]) == 1
    with Image.open(BytesIO(encode(frame, "tiff")[0])) as image:
        assert image.size == frame.size[::-1]


@pytest.mark.parametrize("name", ["tiff", "png", "jpeg"])
def test_the_camera_s_exif_is_in_the_output(name: str, dng: bytes, tmp_path: Path) -> None:
    frame = read(dng)
    target = tmp_path / f"out.{name}"
    warnings = write(frame, target)
    assert warnings == (("JPEG holds 8 bits a channel: 16-bit is reduced.",) if name == "jpeg" else ())
    with Image.open(target) as image:
        exif = image.getexif()
        assert exif[0x010F] == "Canon"
        assert exif[0x8298] == "Somebody "
        assert 50706 not in exif
        assert exif.get_ifd(0x8769)[0xA434] == "Lens 50mm f/1.8"
        assert exif.get_ifd(0x8769)[0x8827] == 6400
        assert exif.get_ifd(0x8825)[2] == (48, 51, 12.34)
    again = read(target)
    assert again.container == name, "a developed RAW is no RAW"
    if name != "jpeg":
        np.testing.assert_array_equal(again.pixels, frame.pixels)
    tool = shutil.which("exiftool")
    if tool:
        done = subprocess.run([tool, "-n", "-s3", "-Canon:OwnerName", str(target)], capture_output=True, check=True)
        assert done.stdout.strip() == b"Note's owner"


def test_adobe_rgb_of_the_camera_s_jpegs_is_not_said_of_the_result() -> None:
    exif = bytearray(build_exif().replace(b"R98\0", b"R03\0"))
    frame = read(build_dng(mosaic(scene()), exif=bytes(exif)))
    assert colour_space(frame.metadata, 3) == (None, ())


def test_exif_that_cannot_be_had_is_a_warning(dng: bytes) -> None:
    assert raw_exif(b"\0MRM" + bytes(50), None) == (
        None,
        ("The camera's EXIF was not found in the RAW file: the result has none.",),
    )
    bare = read(build_dng(mosaic(scene()), exif=b"")).metadata.exif
    assert bare is not None, "the orientation is always there"


def test_xmp_comes_along_but_development_settings_do_not() -> None:
    rating, settings = (b'<x:xmpmeta><a xmp:Rating="4"/></x:xmpmeta>', b'<x:xmpmeta><a crs:Exposure="1"/></x:xmpmeta>')
    kept, left = (read(build_dng(mosaic(scene()), extra={700: (1, len(xmp), xmp)})) for xmp in (rating, settings))
    assert (kept.metadata.xmp, kept.warnings) == (rating, ())
    assert left.metadata.xmp is None
    assert "development settings" in left.warnings[0]


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_broken_raw_is_one_sentence(dng: bytes, keep: float, tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(dng[: int(len(dng) * keep)])
    with pytest.raises(InputError, match=r"a.dng: .*RAW") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="RAW"):
        read(b"FUJIFILMCCD-RAW " + bytes(200))


def test_damage_anywhere_is_a_picture_or_a_sentence(dng: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        bad = bytearray(dng)
        for place in rng.integers(0, len(bad), rng.integers(1, 20)):
            bad[place] = rng.integers(256)
        start = len(bad) - 400  # the directory, where damage hurts
        bad[start + rng.integers(400)] = rng.integers(256)
        with suppress(InputError):
            assert isinstance(read(bytes(bad)), Frame)


def test_what_is_raw(dng: bytes, tmp_path: Path) -> None:
    assert sniff(dng) is RAW
    for start in (
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0",
        b"IIU\0\x18\0",
        b"\0\0\0\x18ftypcrx ",
        b"II*\0\x10\0\0\0CR\2\0",
    ):
        assert is_raw(start + bytes(99)), start
    plain = encode(Frame(np.zeros((8, 8, 3), np.uint8)), "tiff")[0]
    assert not is_raw(plain)
    assert not is_raw(plain, ".tif")
    assert is_raw(plain, ".NEF")
    assert not is_raw(encode(Frame(np.zeros((8, 8, 3), np.uint8)), "png")[0], ".nef"), "the content decides"
    assert {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"} <= set(RAW_SUFFIXES)
    assert set(RAW_SUFFIXES) & set(WRITABLE) == {".dng"}
    assert SUFFIXES[".nef"] == "raw"
    assert is_photo(Path("a/DSC_1.NEF"))
    (tmp_path / "a.dng").write_bytes(dng)
    assert read(tmp_path / "a.dng").container == "raw"


def test_cr3_keeps_each_directory_but_the_maker_note() -> None:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), kind) + body

    def tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
        out = bytearray(b"II*\0\0\0\0\0")
        struct.pack_into("<I", out, 4, append_directory(out, "<", list(entries)))
        return bytes(out)

    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + b"".join(
        (
            box(b"CMT1", tiff((0x010F, 2, 6, b"Canon\0"), (0x0112, 3, 1, b"\6\0\0\0"), (50706, 1, 4, bytes(4)))),
            box(b"CMT2", tiff((0xA434, 2, 10, b"RF50mm F1\0"))),
            box(b"CMT3", tiff((9, 2, 6, b"Owner\0"))),
            box(b"CMT4", tiff((1, 2, 2, b"N\0"))),
        )
    )
    cr3 = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon)) + box(b"mdat", bytes(40))
    exif, warnings = raw_exif(cr3, None)
    assert warnings == ("The maker note of the CR3 is not carried over.",)
    found = Image.Exif()
    found.load(exif or b"")
    assert found[0x010F] == "Canon"
    assert 50706 not in found
    assert found.get_ifd(0x8769) == {0xA434: "RF50mm F1"}
    assert found.get_ifd(0x8825) == {1: "N"}
    with pytest.raises(InputError, match="RAW"):
        read(cr3)


@pytest.mark.parametrize("start", [b"IIRO", b"MMOR", b"IIU\0"])
def test_tiffs_under_other_numbers(start: bytes) -> None:
    block = build_exif("<" if start[:1] == b"I" else ">")
    exif, _ = raw_exif(start + block[4:], None)
    assert exif is not None
    found = Image.Exif()
    found.load(exif)
    assert found.get_ifd(0x8769)[0xA434] == "Lens 50mm f/1.8"


def test_the_preview_s_exif_where_there_is_no_other(dng: bytes) -> None:
    preview = build_exif()
    assert raw_exif(b"FUJIFILMCCD-RAW" + bytes(50), preview) == (preview, ())
    assert raw_exif(b"IIU\0" + build_exif()[4:], preview) == (preview, ())


def test_what_a_crw_s_preview_does_not_repeat_is_named() -> None:
    crw = b"II\x1a\0\0\0HEAPCCDR" + bytes(50)
    _, (sentence,) = raw_exif(crw, build_exif())
    assert sentence.endswith("no date of the photo, no serial number, no focal length.")
    whole = bytearray(b"II*\0\0\0\0\0")
    entries = [(tag, 2, 4, b"abc\0") for tag in (36867, 37386, 42033, 42036)]
    struct.pack_into("<I", whole, 4, append_directory(whole, "<", entries))
    assert raw_exif(crw, bytes(whole)) == (bytes(whole), ())


def test_importing_the_package_loads_no_raw_library() -> None:
    code = "import sys, nsp_cli.image; sys.exit(bool({'rawpy', 'PIL', 'cv2', 'tifffile'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_raw_file_is_never_written(make_frame: Callable[..., Frame], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="must be one of"):
        write(make_frame(), tmp_path / "out.nef")
    assert not list(tmp_path.iterdir())

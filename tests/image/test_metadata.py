"""What a file says about its picture comes out as it went in, read with libraries that did not write it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_builders import only_page
from PIL import Image

from nsp_cli.image import Frame, Metadata, encode, read, update_exif, write
from nsp_cli.image.metadata.exif import orientation_only

FrameMaker = Callable[..., Frame]
EXIF_POINTER, GPS_POINTER, INTEROP_POINTER, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C
CASES = [
    ("png", "uint8", 3),
    ("png", "uint16", 1),
    ("png", "uint16", 3),
    ("jpeg", "uint8", 1),
    ("jpeg", "uint8", 3),
    ("tiff", "uint8", 1),
    ("tiff", "uint16", 3),
    ("tiff", "float32", 1),
    ("webp", "uint8", 3),
    ("avif", "uint8", 3),
]
EVERY_CASE = pytest.mark.parametrize(("name", "dtype", "channels"), CASES)


def fields(exif: Image.Exif) -> dict[str, dict]:
    """Every directory's fields, as Pillow reads them; offsets of directories are left out, since they may change."""
    pointers = {EXIF_POINTER, GPS_POINTER, INTEROP_POINTER}
    # A TIFF's first directory also describes its pixels; those fields are not EXIF.
    first = {
        tag: value for tag, value in exif.items() if tag in range(269, 273) or tag in (274, 282, 283, 296, 531, 33432)
    }
    found = {"IFD0": first}
    for tag in sorted(pointers):
        found[hex(tag)] = {key: value for key, value in exif.get_ifd(tag).items() if key not in pointers}
    return found


def parsed(block: bytes) -> dict[str, dict]:
    exif = Image.Exif()
    exif.load(block)
    return fields(exif)


@EVERY_CASE
def test_exif_is_the_same_field_by_field(
    name: str, dtype: str, channels: int, metadata: Metadata, maker_note: bytes, make_frame: FrameMaker
) -> None:
    frame = make_frame(dtype, channels, size=(480, 640), metadata=metadata)
    data = encode(frame, name)[0]
    with Image.open(BytesIO(data)) as image:
        exif = image.getexif()
        if name in (
            "tiff",
            "avif",
        ):  # Pillow takes a TIFF's orientation for itself when it loads; it is still in the file
            assert exif[274] == 6
        found = fields(exif)
    assert metadata.exif is not None
    wanted = parsed(metadata.exif)
    assert len(wanted["0x8825"]) == 4
    assert wanted["0x8769"][MAKER_NOTE] == maker_note
    assert found == wanted


@EVERY_CASE
def test_read_gives_back_what_was_written(
    name: str, dtype: str, channels: int, metadata: Metadata, make_frame: FrameMaker
) -> None:
    found = read(encode(make_frame(dtype, channels, size=(48, 64), metadata=metadata), name)[0])
    assert found.warnings == ()
    assert found.metadata.icc == metadata.icc
    assert found.metadata.dpi == (300.0, 300.0)
    assert found.metadata.iptc == (metadata.iptc if name in ("jpeg", "tiff") else None)
    assert found.metadata.xmp == metadata.xmp.replace(b"640", b"64") if metadata.xmp else None
    true = update_exif(metadata.exif, (48, 64))
    assert true is not None
    if name == "tiff":  # taken apart and put together, with the maker note at its place
        assert found.metadata.exif is not None
        assert parsed(found.metadata.exif) == parsed(true)
        again = read(encode(found, "tiff")[0])
        assert again.metadata == found.metadata
    else:
        assert found.metadata.exif == true


@EVERY_CASE
def test_icc_xmp_and_dpi_for_other_readers(
    name: str, dtype: str, channels: int, metadata: Metadata, make_frame: FrameMaker
) -> None:
    data = encode(make_frame(dtype, channels, size=(480, 640), metadata=metadata), name)[0]
    with Image.open(BytesIO(data)) as image:
        assert image.info["icc_profile"] == metadata.icc
        assert image.info["xmp"] == metadata.xmp
        if name in ("png", "jpeg", "tiff"):
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    if name in ("png", "jpeg", "webp"):
        _, kinds, blocks = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED)
        found = {kind: bytes(np.asarray(block).tobytes()) for kind, block in zip(kinds, blocks, strict=True)}
        assert found[cv2.IMAGE_METADATA_EXIF].removeprefix(b"Exif\0\0") == update_exif(metadata.exif, (480, 640))
        assert found[cv2.IMAGE_METADATA_XMP].rstrip(b"\0").endswith(metadata.xmp or b"")
        if channels == 3:  # libpng does not give out an RGB profile of a grey picture
            assert found[cv2.IMAGE_METADATA_ICCP] == metadata.icc


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_for_tifffile(dtype: str, metadata: Metadata, maker_note: bytes, make_frame: FrameMaker) -> None:
    frame = make_frame(dtype, alpha=True, metadata=metadata)
    data = encode(frame, "tiff")[0]
    page = only_page(data)
    np.testing.assert_array_equal(page.asarray(), frame.channels())
    assert page.iccprofile == metadata.icc
    assert page.tags[274].value == 6
    assert page.tags[33723].value == metadata.iptc
    assert page.tags["ExifTag"].value["LensModel"] == "Lens 50mm f/1.8"
    assert page.tags["GPSTag"].value["GPSLatitude"] == (48, 1, 51, 1, 1234, 100)
    codes = [tag.code for tag in page.tags]
    assert codes == sorted(set(codes))
    assert metadata.exif is not None
    assert data.find(maker_note) == metadata.exif.find(maker_note), "offsets inside a maker note count from the start"


@EVERY_CASE
def test_exiftool_agrees(
    name: str, dtype: str, channels: int, metadata: Metadata, make_frame: FrameMaker, tmp_path: Path
) -> None:
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not on PATH")
    target = tmp_path / f"photo.{name}"
    write(make_frame(dtype, channels, metadata=metadata), target)
    done = subprocess.run([tool, "-j", "-n", "-G1", str(target)], capture_output=True, check=True)
    found = json.loads(done.stdout)[0]
    assert found["ExifIFD:LensModel"] == "Lens 50mm f/1.8"
    assert found["ExifIFD:ISO"] == 6400
    assert found["GPS:GPSLatitude"] == pytest.approx(48 + 51 / 60 + 12.34 / 3600)
    assert found["IFD0:Orientation"] == 6
    assert found["Canon:OwnerName"] == "Note's owner", "offsets inside the maker note still hold"
    assert "ExifTool:Warning" not in found


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff", "webp", "avif"])
def test_without_metadata_the_picture_still_looks_right(name: str, metadata: Metadata, make_smooth: FrameMaker) -> None:
    frame = Frame(make_smooth().pixels, metadata=metadata)
    data, warnings = encode(frame, name, keep_metadata=False)
    assert warnings == ()
    found = read(data).metadata
    assert found.icc == metadata.icc
    assert (found.xmp, found.dpi, found.iptc) == (None, None, None)
    assert orientation_only(found.exif) == orientation_only(metadata.exif) != None  # noqa: E711
    for secret in (b"Canon", b"Lens", b"Somebody"):
        assert secret not in data


def test_avif_says_its_orientation_in_its_own_box(metadata: Metadata, make_smooth: FrameMaker) -> None:
    data = encode(Frame(make_smooth().pixels, metadata=metadata), "avif")[0]
    assert b"irot" in data


def test_dpi_without_exif(make_frame: FrameMaker) -> None:
    frame = make_frame(metadata=Metadata(dpi=(72.0, 144.0)))
    for name in ("png", "jpeg", "tiff"):
        data, warnings = encode(frame, name)
        assert warnings == ()
        assert read(data).metadata.dpi == pytest.approx((72, 144), abs=0.02)
    assert encode(frame, "webp")[1] == ("WebP has no place for the print resolution: it is dropped.",)

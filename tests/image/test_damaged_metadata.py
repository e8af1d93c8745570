"""Damaged metadata costs the metadata, which is named, and never the photo."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from image_builders import build_exif, random_frame, smooth_frame
from PIL import Image

from nsp_cli.errors import InputError
from nsp_cli.image import Frame, Metadata, encode, read
from nsp_cli.image.codecs.png import build, split_chunks
from nsp_cli.image.metadata.ifd import Tree

FRAME = random_frame()
HEAD, *REST = split_chunks(encode(FRAME, "png")[0])
GOOD = {
    b"iCCP": b"name\0\0" + zlib.compress(b"profile"),
    b"tEXt": b"Title\0photo",
    b"zTXt": b"Title\0\0" + zlib.compress(b"photo"),
    b"iTXt": b"Title\0\0\0\0\0photo",
    b"tIME": bytes([7, 230, 1, 1, 1, 1, 1]),
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"eXIf": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
}


def kept(data: bytes, name: str) -> None:
    found = read(data)
    np.testing.assert_array_equal(found.pixels, FRAME.pixels)
    assert [warning for warning in found.warnings if "damaged" in warning and name in warning], found.warnings


@pytest.mark.parametrize("kind", GOOD)
def test_a_wrong_checksum(kind: bytes) -> None:
    data = bytearray(build([HEAD, (kind, GOOD[kind]), *REST]))
    data[data.index(kind) + 4 + len(GOOD[kind])] ^= 1
    kept(bytes(data), kind.decode())


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        (b"iCCP", b"name without an end", "iCCP"),
        (b"iCCP", b"name\0\0" + zlib.compress(b"profile" * 9)[:-6], "iCCP"),
        (b"zTXt", b"Title\0\0no deflate", "zTXt"),
        (b"iTXt", b"Title\0\1\0\0\0no deflate", "iTXt"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 4\nno hex", "Raw profile type exif"),
        (b"pHYs", b"\0", "pHYs"),
        (b"gAMA", b"\0", "gAMA"),
    ],
)
def test_a_body_that_cannot_be_read(kind: bytes, body: bytes, name: str) -> None:
    kept(build([HEAD, (kind, body), *REST]), name)


def test_a_chunk_that_the_picture_needs_must_be_whole() -> None:
    for kind in (b"IHDR", b"IDAT", b"IEND"):
        data = bytearray(build([HEAD, *REST]))
        data[data.index(kind) - 4 + 8 + struct.unpack_from(">I", data, data.index(kind) - 4)[0]] ^= 1
        with pytest.raises(InputError, match="checksum"):
            read(bytes(data))


@pytest.mark.parametrize("rest", [b"", b"\0\0\0\0IE", b"\0\0\1\0tEXtTitle\0cut off"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_without_its_end(rest: bytes, dtype: str) -> None:
    frame = random_frame(dtype)
    whole = encode(frame, "png")[0][:-12]
    found = read(whole + rest)
    np.testing.assert_array_equal(found.pixels, frame.pixels)
    assert found.warnings[-1] == "The PNG ends without its IEND chunk, but all of the picture is there."
    head, *others = split_chunks(whole, [])
    packed = b"".join(body for kind, body in others if kind == b"IDAT")
    for cut in (1, 40):
        with pytest.raises(InputError, match="before its IEND chunk"):
            read(build([head, (b"IDAT", packed[:-cut])]))


@pytest.mark.parametrize("cut", [1, 5, 19, 200])
def test_metadata_that_is_cut_off_at_the_end_of_a_webp(cut: int) -> None:
    metadata = Metadata(exif=build_exif(), xmp=b"<x:xmpmeta/>")
    whole = encode(Frame(FRAME.pixels, FRAME.alpha, metadata), "webp")[0]
    found = read(whole[:-cut])
    np.testing.assert_array_equal(found.pixels, read(whole).pixels)
    assert "cut off" in found.warnings[0]
    assert (found.metadata.exif is not None) is (cut < 100)
    assert found.metadata.xmp is None
    with pytest.raises(InputError, match="WebP"):
        read(whole[: whole.index(b"EXIF") - 1])


def test_a_wrong_length_is_no_reason_to_guess() -> None:
    data = bytearray(build([HEAD, (b"tEXt", GOOD[b"tEXt"]), *REST]))
    data[data.index(b"tEXt") - 1] += 3
    with pytest.raises(InputError, match="is damaged or incomplete"):
        read(bytes(data))


def test_apples_form_of_png_is_named() -> None:
    with pytest.raises(InputError, match="CgBI"):
        read(build([(b"CgBI", bytes(4)), HEAD, *REST]))


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    data = encode(smooth_frame(), "jpeg")[0]
    return (
        data[:2] + b"".join(struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body for mark, body in segments) + data[2:]
    )


@pytest.mark.parametrize(
    ("segment", "named"),
    [
        ((0xE0, b"JFIF\0"), "damaged metadata, which is not carried over: JFIF"),
        ((0xE2, b"ICC_PROFILE\0\1"), "damaged metadata, which is not carried over: ICC_PROFILE"),
        ((0xE2, b"ICC_PROFILE\0\2\2half of it"), "Without the JPEG's colour profile"),
    ],
)
def test_damaged_segments_of_a_jpeg(segment: tuple[int, bytes], named: str) -> None:
    found = read(jpeg_with(segment))
    np.testing.assert_array_equal(found.pixels, read(jpeg_with()).pixels)
    assert [named in warning for warning in found.warnings] == [True]
    assert found.metadata.icc is None


def app5(length: int, body: bytes = b"vendor" + bytes(100)) -> bytes:
    return b"\xff\xe5" + struct.pack(">H", length) + body


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda jpeg: jpeg[:2] + app5(104) + jpeg[2:], "4 bytes between segments"),
        (lambda jpeg: jpeg[:2] + app5(112) + jpeg[2:], "14 bytes between segments"),  # the next one's first 4 are lost
        (lambda jpeg: jpeg[:2] + app5(0) + jpeg[2:], "108 bytes between segments"),
        (lambda jpeg: jpeg[:2] + app5(1) + jpeg[2:], "107 bytes between segments"),
        (lambda jpeg: jpeg[:20] + b"Exif\0\0" + jpeg[20:], "6 bytes between segments, EXIF"),
        (lambda jpeg: jpeg[:-2] + app5(65000), "a segment that reaches beyond the end"),
        (lambda jpeg: jpeg[:-2] + app5(65000) + jpeg[-2:], "a segment that reaches beyond the end"),
    ],
)
def test_a_wrong_length_of_a_segment_costs_no_pixel(
    damage: Callable[[bytes], bytes], named: str, progressive: bool
) -> None:
    out = BytesIO()
    Image.fromarray(np.asarray(smooth_frame().pixels)).save(out, "JPEG", progressive=progressive)
    whole = out.getvalue()
    assert whole[20:22] == b"\xff\xdb"  # behind JFIF's segment
    found = read(damage(whole))
    np.testing.assert_array_equal(found.pixels, read(whole).pixels)
    (warning,) = (warning for warning in found.warnings if "damaged metadata" in warning)
    assert named in warning


@pytest.mark.parametrize("length", [8, 60, 300, 65000])
def test_a_segment_that_covers_tables_of_the_picture_is_refused(length: int) -> None:
    whole = encode(smooth_frame(), "jpeg")[0]
    with pytest.raises(InputError, match="damaged or incomplete"):
        read(whole[:20] + app5(length, b"") + whole[20:])


@pytest.mark.parametrize("marker", [0xDB, 0xC4])
def test_a_table_of_the_picture_with_a_wrong_length_is_refused(marker: int) -> None:
    whole = encode(smooth_frame(), "jpeg")[0]
    at = whole.index(bytes([0xFF, marker])) + 6
    with pytest.raises(InputError, match="damaged or incomplete"):
        read(whole[:at] + b"\x40\x41\x42\x43\x44" + whole[at:])


@pytest.mark.parametrize("offset", [b"\x7f\xff\xff\xff", b"\0\0\0\1"])
def test_damaged_exif_of_an_avif(offset: bytes) -> None:
    exif = build_exif()
    whole = encode(Frame(smooth_frame().pixels, metadata=Metadata(exif=exif, xmp=b"<x:xmpmeta/>")), "avif")[0]
    at = whole.index(exif[:40]) - 4  # where the offset to the header of EXIF is
    found = read(whole[:at] + offset + whole[at + 4 :])
    np.testing.assert_array_equal(found.pixels, read(whole).pixels)
    assert found.warnings == ("The AVIF has damaged metadata, which is not carried over: EXIF.",)
    assert found.metadata.xmp == b"<x:xmpmeta/>"
    assert found.metadata.exif is not None  # AVIF's own orientation
    assert len(found.metadata.exif) < len(exif) / 4


@pytest.mark.parametrize(
    ("tag", "named"), [(34675, "colour profile"), (700, "XMP"), (33723, "IPTC"), (34665, "EXIF"), (34853, "GPS")]
)
def test_damaged_fields_of_a_tiff(tag: int, named: str) -> None:
    metadata = Metadata(bytes(200), build_exif(), b"<x:xmpmeta/>", None, b"\x1c\2x\0\5hello")
    data = bytearray(encode(Frame(FRAME.pixels, metadata=metadata), "tiff")[0])
    tree = Tree(data)
    struct.pack_into(tree.order + "I", data, tree.directory(tree.first).fields[tag].entry + 8, 0x7FFFFFF0)
    found = read(bytes(data))
    np.testing.assert_array_equal(found.pixels, FRAME.pixels)
    assert found.warnings[0] == f"The TIFF has damaged metadata, which is not carried over: {named}."
    assert [tag == 34675] * (tag == 34675) == ["sRGB" in warning for warning in found.warnings[1:]]


@pytest.mark.parametrize("tag", [296, 34665, 34853])
def test_fields_that_libtiff_refuses_are_not_written(tag: int) -> None:
    """A resolution in no unit, and a directory without fields."""
    exif = bytearray(build_exif() + bytes(6))
    tree = Tree(exif)
    place = tree.directory(tree.first).fields[tag].start
    struct.pack_into(tree.order + "I", exif, place, 32768 if tag == 296 else len(exif) - 6)
    data, warnings = encode(Frame(FRAME.pixels, metadata=Metadata(exif=bytes(exif))), "tiff")
    assert warnings == (f"The damaged EXIF fields {tag} are not kept: a TIFF can only hold fields that can be read.",)
    tree = Tree(data)
    fields = tree.directory(tree.first).fields
    assert tree.number(fields[296]) in (1, 2, 3)
    assert tag == 296 or tag not in fields
    assert fields.keys() > {271, 272, 274}

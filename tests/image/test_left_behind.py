"""What a file holds beside its picture and cannot be kept is named, and nothing else says that it is there."""

import json
import shutil
import struct
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_builders import smooth_frame
from raw_builders import build_dng, mosaic

from nsp_cli.image import Frame, Metadata, RawOptions, encode, read
from nsp_cli.image.metadata.xmp import update_xmp

JPEG = encode(smooth_frame(), "jpeg")[0]
IPTC = b"\x1c\2x\0\1a"
CONTENT_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(500)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
    b' xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:C="http://ns.google.com/photos/1.0/container/"'
    b' xmlns:Item="http://ns.google.com/photos/1.0/container/item/" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion=\'1\''
    b' xmpNote:HasExtendedXMP="0123" h:Version="1.0" dc:format="image/jpeg">'
    b"<C:Directory><rdf:Seq><rdf:li><C:Item Item:Mime='video/mp4'/></rdf:li></rdf:Seq></C:Directory>"
    b"<h:GainMapMin><rdf:Seq><rdf:li>0</rdf:li></rdf:Seq></h:GainMapMin><h:Gamma/>"
    b"<D:Profiles xmlns:D='http://ns.google.com/photos/dd/1.0/device/'><rdf:Seq><rdf:li/></rdf:Seq></D:Profiles>"
    b"<dc:title>Motion photo</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def segment(number: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, 0xE0 + number, len(body) + 2) + body


def resource(number: int, body: bytes, name: bytes = b"") -> bytes:
    label, length = bytes([len(name)]) + name, struct.pack(">I", len(body))
    return b"8BIM" + struct.pack(">H", number) + label + bytes(len(label) % 2) + length + body + bytes(len(body) % 2)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def photoshop(*resources: bytes) -> bytes:
    return segment(13, b"Photoshop 3.0\0" + b"".join(resources))


def jpeg(*segments: bytes, trailer: bytes = b"") -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:] + trailer


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (jpeg(trailer=VIDEO), ["video of the motion photo"]),
        (jpeg(trailer=VIDEO + b"SEFH" + bytes(20) + b"SEFT"), ["video of the motion photo", "Samsung"]),
        (jpeg(trailer=b"something else"), ["14 bytes after"]),
        (jpeg(trailer=bytes(600)), []),
        (jpeg(segment(1, b"FLIR\0\1\0\0data"), segment(6, b"GoPro\0data")), ["APP1 FLIR, APP6 GoPro"]),
        (jpeg(segment(11, b"JP\0\0data")), ["content credentials"]),
        (jpeg(segment(0, b"JFXX\0\x10data")), []),
        (jpeg(segment(2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")), ["gain map"]),
        (jpeg(segment(1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)), ["gain map"]),
        (
            jpeg(photoshop(resource(0x40A, b"\1"), resource(2000, bytes(26), b"Path"), resource(2999, b"\4Path"))),
            ["copyright flag, paths, clipping path"],
        ),
        (jpeg(photoshop(resource(0x404, IPTC), resource(0x3F3, b"12"))), ["1 other setting"]),
        (jpeg(photoshop(resource(0x404, IPTC), resource(0x425, bytes(16)))), []),
        (jpeg(photoshop(resource(0x404, IPTC)[:-2])), ["damaged data"]),
    ],
)  # fmt: skip
def test_a_jpegs_further_parts_are_named(data: bytes, names: list[str]) -> None:
    found = read(data)
    assert len(found.warnings) == len(names)
    for warning, name in zip(found.warnings, names, strict=True):
        assert name in warning
    np.testing.assert_array_equal(found.pixels, read(JPEG).pixels)


def test_of_two_blocks_of_iptc_the_first_is_kept() -> None:
    found = read(jpeg(photoshop(resource(0x404, IPTC)), photoshop(resource(0x404, IPTC + b"b"))))
    assert found.metadata.iptc == IPTC
    assert "second block of IPTC" in found.warnings[0]


def test_xmp_announces_nothing_that_is_not_there(tmp_path: Path) -> None:
    found = update_xmp(XMP, (48, 64))
    assert found is not None
    for gone in (
        b"MotionPhoto",
        b"Directory",
        b"GainMapMin",
        b"Gamma",
        b"h:Version",
        b"HasExtendedXMP",
        b"Profiles",
        b"video/mp4",
    ):
        assert gone not in found
    for kept in (b'dc:format="image/jpeg"', b"<dc:title>Motion photo</dc:title>", b'rdf:about=""'):
        assert kept in found
    assert update_xmp(found, (48, 64)) == found
    if shutil.which("exiftool"):
        path = tmp_path / "photo.jpg"
        path.write_bytes(encode(Frame(smooth_frame().pixels, metadata=Metadata(xmp=XMP)), "jpeg")[0])
        done = subprocess.run(["exiftool", "-j", "-G1", str(path)], capture_output=True, check=True)
        names = {name for name in json.loads(done.stdout)[0] if name.startswith("XMP")}
        assert names == {"XMP-dc:Format", "XMP-dc:Title"}


def test_smaller_pages_of_a_tiff_are_named() -> None:
    out = BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for side, kind in ((32, 0), (16, 1)):
            writer.write(np.zeros((side, side, 3), np.uint8), photometric="rgb", subfiletype=kind, metadata=None)
    assert ["further pages" in warning for warning in read(out.getvalue()).warnings] == [True]


def tiff_with(tag: int, value: bytes) -> bytes:
    out = BytesIO()
    tifffile.imwrite(
        out, smooth_frame().pixels, photometric="rgb", metadata=None, extratags=[(tag, 7, len(value), value, True)]
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (
            tiff_with(34377, resource(0x404, IPTC) + resource(0x40A, b"\1") + resource(2999, b"\4Path")),
            ["copyright flag, clipping path"],
        ),
        (tiff_with(34377, resource(0x404, IPTC) + resource(0x425, bytes(16))), []),
        (tiff_with(37724, b"Adobe Photoshop Document Data Block\0"), ["layers"]),
    ],
)
def test_photoshops_data_in_a_tiff_is_named_and_its_iptc_kept(data: bytes, names: list[str]) -> None:
    found = read(data)
    assert len(found.warnings) == len(names)
    assert all(name in warning for warning, name in zip(found.warnings, names, strict=True))
    assert found.metadata.iptc == (None if "layers" in names else IPTC)


def test_the_iptc_of_a_raw_file_is_kept() -> None:
    dng = build_dng(mosaic(np.full((40, 48, 3), 0.3)), extra={33723: (7, len(IPTC), IPTC)})
    for options, format in ((RawOptions(), "tiff"), (RawOptions(linear=True), "dng")):
        frame = read(dng, options)
        assert frame.metadata.iptc == IPTC
        data, warnings = encode(frame, format)
        assert warnings == ()
        assert read(data).metadata.iptc == IPTC


@pytest.mark.parametrize(
    ("name", "addition", "named"),
    [
        ("png", b"something else", "14 bytes after"),
        ("png", bytes(40), ""),
        ("webp", b"something else", "14 bytes after"),
        ("avif", box(b"mpvd", VIDEO), "video of the motion photo in the AVIF"),
        ("avif", box(b"sefd", b"data"), "Samsung"),
        ("avif", box(b"uuid", CONTENT_CREDENTIALS + b"data"), "content credentials"),
        ("avif", box(b"uuid", bytes(16)), "further boxes are not carried over: uuid"),
        ("avif", box(b"free", bytes(16)), ""),
        ("avif", b"no box at all", "13 bytes after"),
    ],
)
def test_what_follows_a_picture_is_named_in_other_formats(name: str, addition: bytes, named: str) -> None:
    plain = encode(smooth_frame(), name)[0]
    found = read(plain + addition)
    assert read(plain).warnings == ()
    assert [named in warning for warning in found.warnings] == ([True] if named else [])


def test_further_chunks_of_a_webp_are_named() -> None:
    plain = encode(smooth_frame(), "webp")[0]
    data = bytearray(plain + b"C2PA\4\0\0\0jumb" + b"ABCD\3\0\0\0abc\0")
    struct.pack_into("<I", data, 4, len(data) - 8)
    assert read(bytes(data)).warnings == ("The WebP's further chunks are not carried over: ABCD, C2PA.",)

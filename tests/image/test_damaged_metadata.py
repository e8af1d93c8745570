"""Damaged metadata costs the metadata, which is named, and never the photo."""

import struct
import zlib

import numpy as np
import pytest
from image_builders import random_frame

from nsp_cli.errors import InputError
from nsp_cli.image import encode, read
from nsp_cli.image.codecs.png import build, split_chunks

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


def test_a_wrong_length_is_no_reason_to_guess() -> None:
    data = bytearray(build([HEAD, (b"tEXt", GOOD[b"tEXt"]), *REST]))
    data[data.index(b"tEXt") - 1] += 3
    with pytest.raises(InputError, match="found"):
        read(bytes(data))


def test_apples_form_of_png_is_named() -> None:
    with pytest.raises(InputError, match="CgBI"):
        read(build([(b"CgBI", bytes(4)), HEAD, *REST]))

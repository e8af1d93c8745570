"""What is whole but not supported is called so, and what a header holds is found without a library's warnings."""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from image_builders import random_frame, smooth_frame
from PIL import Image
from raw_builders import build_dng, lossless_jpeg, mosaic

from nsp_cli.errors import InputError
from nsp_cli.image import encode, read
from nsp_cli.image.codecs.png import build
from nsp_cli.image.probe import probe_size


def altered(marker: int, precision: int) -> bytes:
    """A JPEG whose frame header is of another kind."""
    data = bytearray(encode(smooth_frame(), "jpeg")[0])
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, precision
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (altered(0xC1, 12), "12 bits"),
        (altered(0xC5, 8), "hierarchical"),
        (altered(0xF7, 8), "JPEG-LS"),
        (lossless_jpeg(np.zeros((8, 8), np.uint16)), "lossless"),
    ],
)
def test_other_kinds_of_jpeg(data: bytes, found: str) -> None:
    with pytest.raises(InputError, match=f"{found}.* is not supported: convert it to TIFF first"):
        read(data)


def test_a_monochrome_camera_has_no_white_balance() -> None:
    sensor = mosaic(np.full((48, 64, 3), 0.3), (1, 1, 1))
    found = read(build_dng(sensor, neutral=None, extra={262: (3, 1, struct.pack("<H", 34892))}))
    assert found.pixels.shape == (48, 64, 1)
    assert found.warnings == ()


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_large_photo_has_a_size_and_no_warning(side: int, tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", side, side - 1, 8, 2, 0, 0, 0)
    path = tmp_path / "large.png"
    path.write_bytes(build([(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe_size(path) == (side - 1, side)


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff", "webp", "avif"])
def test_the_size_in_every_header(name: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"  # whatever the suffix
    path.write_bytes(encode(random_frame(size=(24, 40)), name)[0])
    assert probe_size(path) == (24, 40)
    with Image.open(BytesIO(path.read_bytes())) as image:
        assert image.size == (40, 24)
    path.write_bytes(b"no photo")
    assert probe_size(path) is None


def test_a_webp_above_pillows_limit_has_a_size(tmp_path: Path) -> None:
    data = bytearray(encode(random_frame(size=(24, 40)), "webp")[0])
    assert data[12:16] == b"VP8 "
    struct.pack_into("<HH", data, 26, 16_383, 16_383)
    path = tmp_path / "large.webp"
    path.write_bytes(data)
    limit = Image.MAX_IMAGE_PIXELS
    assert probe_size(path) == (16_383, 16_383)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("start", "name"), [(b"\xff\x0a", "JPEG XL"), (b"8BPS", "PSD"), (b"BM", "BMP"), (b"GIF89a", "GIF")]
)
def test_other_formats_are_named_by_their_content(start: bytes, name: str) -> None:
    with pytest.raises(InputError, match=f"this is {name}, which is not read; export it as TIFF or JPEG first"):
        read(start + bytes(50))

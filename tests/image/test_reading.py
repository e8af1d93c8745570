"""Every kind of file is read as it is stored, or refused in one sentence."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_builders import random_frame
from PIL import Image

from nsp_cli.errors import InputError
from nsp_cli.image import Frame, Metadata, encode, read
from nsp_cli.image.codecs.png import build
from tests.fuzz import with_checksums

FORMATS = ["png", "jpeg", "tiff", "webp", "avif"]
FrameMaker = Callable[..., Frame]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the input: ")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_grey_of_few_bits_is_widened(bits: int) -> None:
    values = np.arange(8).reshape(1, 8) % 2**bits
    rows = bytes([0]) + np.packbits(np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., -bits:]).tobytes()
    head = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    found = read(build([(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]))
    np.testing.assert_array_equal(found.pixels[..., 0], values * 255 // (2**bits - 1))
    assert found.alpha is None
    transparent = read(
        build([(b"IHDR", head), (b"tRNS", struct.pack(">H", 1)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])
    )
    np.testing.assert_array_equal(transparent.pixels, found.pixels)
    np.testing.assert_array_equal(transparent.alpha, np.where(values == 1, 0, 255))


@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette_is_looked_up(transparent: bool) -> None:
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(indices, "L").convert("P")
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    image.putpalette(palette.tobytes())
    data = saved(image, "PNG", **({"transparency": 5} if transparent else {}))
    found = read(data)
    np.testing.assert_array_equal(found.pixels, palette[indices])
    assert (found.alpha is not None) == transparent
    if found.alpha is not None:
        np.testing.assert_array_equal(found.alpha, np.where(indices == 5, 0, 255))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_transparent_colour_becomes_alpha(depth: int, channels: int, make_frame: FrameMaker) -> None:
    frame = make_frame(f"uint{depth}", channels)
    key = frame.pixels[2, 3]
    head, *rest = chunks(encode(frame, "png")[0])
    found = read(build([head, (b"tRNS", key.astype(">u2").tobytes()), *rest]))
    np.testing.assert_array_equal(found.pixels, frame.pixels)
    hidden = (frame.pixels == key).all(axis=2)
    np.testing.assert_array_equal(found.alpha, np.where(hidden, 0, 2**depth - 1))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_png_interlaced_16_bit(channels: int, colour: int) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (21, 13, channels), dtype=np.uint16)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [row for y, x, dy, dx in passes for row in array[y::dy, x::dx]]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", 13, 21, 16, colour, 0, 0, 1)
    found = read(build([(b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]))
    np.testing.assert_array_equal(found.channels(), array)


def test_png_older_ways_of_metadata_and_what_is_left(exif: bytes, make_frame: FrameMaker) -> None:
    frame = make_frame("uint16")
    head, *rest = chunks(encode(frame, "png")[0])
    legacy = b"\nexif\n%8d\n" % (len(exif) + 6) + (b"Exif\0\0" + exif).hex().encode() + b"\n"
    extra = [
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(legacy)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x/>")),
        (b"tEXt", b"Comment\0hello"),
        (b"caBX", b"claim"),
        (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    ]
    found = read(build([head, *extra, *rest]))
    assert found.metadata == Metadata(exif=exif, xmp=b"<x/>", dpi=(72.01, 72.01))
    assert [warning for warning in found.warnings if "Comment" in warning]
    assert [warning for warning in found.warnings if "caBX" in warning]
    np.testing.assert_array_equal(found.pixels, frame.pixels)


def test_jpeg_progressive_and_its_extras(make_smooth: FrameMaker) -> None:
    pixels = make_smooth().pixels
    data = saved(Image.fromarray(pixels), "JPEG", quality=95, progressive=True, comment="hello", subsampling="4:2:0")
    found = read(data)
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(BytesIO(data))))
    assert found.jpeg_subsampling == "4:2:0"
    assert found.warnings == ("The JPEG's comment is not carried over.",)


def test_jpeg_with_previews_is_one_photo(make_smooth: FrameMaker) -> None:
    image = Image.fromarray(make_smooth().pixels)
    data = saved(image, "MPO", save_all=True, append_images=[image.resize((16, 16))])
    found = read(data)
    assert found.size == (48, 64)
    assert found.container == "jpeg"
    assert [warning for warning in found.warnings if "further pictures" in warning]


@pytest.mark.parametrize("mode", ["CMYK"])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_refused(mode: str, kind: str) -> None:
    refused(saved(Image.new(mode, (8, 8)), kind), "CMYK is not supported: convert it to (grey or )?RGB first")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_more_than_one_picture_is_refused(kind: str) -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    refused(saved(images[0], kind, save_all=True, append_images=images[1:]), "animated|has 3 pictures")


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_refused_wherever_they_end(name: str, metadata: Metadata, make_frame: FrameMaker) -> None:
    data = encode(make_frame(size=(40, 50), metadata=metadata), name)[0]
    # A TIFF's directory is its end. Everywhere else the last bytes are data or their end mark.
    # A JPEG without its end mark, of two bytes, a PNG without IEND and a WebP without metadata have all pixels.
    last = len(data) - (3 if name == "jpeg" else 1)
    end = {"png": data.find(b"IEND") - 4, "webp": data.find(b"EXIF")}.get(name, len(data))
    for cut in {16, 40, 100, len(data) // 3, len(data) // 2, len(data) - 50, len(data) - 8, last}:
        if cut < end:
            refused(data[:cut], "is damaged or incomplete")
        else:
            assert read(data[:cut]).warnings


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_altered_png_is_refused(dtype: str, make_frame: FrameMaker) -> None:
    data = bytearray(encode(make_frame(dtype), "png")[0])
    data[len(data) // 2] ^= 1
    refused(bytes(data), "wrong checksum")


SAMPLES = [encode(random_frame(size=(20, 24)), name)[0] for name in FORMATS]


@given(which=st.sampled_from(SAMPLES), at=st.floats(0, 1), junk=st.binary(min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_damage_never_surfaces_as_a_library_error(which: bytes, at: float, junk: bytes) -> None:
    start = int(at * (len(which) - len(junk)))
    damaged = which[:start] + junk + which[start + len(junk) :]
    with suppress(InputError):
        assert isinstance(read(damaged), Frame)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"GIF89a\0\0\0\0", "this is GIF, which is not read; export it as TIFF or JPEG first"),
        (b"hello, this is text", "PNG, JPEG, TIFF, WebP or AVIF"),
        (b"\x89PNG\r\n\x1a\n", "the PNG file is damaged or incomplete"),
        (b"\xff\xd8\xff", "the JPEG file is damaged or incomplete"),
        (b"II*\0", "the TIFF file is damaged or incomplete"),
        (b"RIFF\0\0\0\0WEBP", "the WebP file is damaged or incomplete"),
    ],
)
def test_what_is_no_photo(data: bytes, message: str) -> None:
    refused(data, message)


def test_the_suffix_does_not_matter(tmp_path: Path, make_frame: FrameMaker) -> None:
    path = tmp_path / "Ünïcode.jpg"
    path.write_bytes(encode(make_frame("uint16"), "png")[0])
    assert read(path).container == "png"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.png", "No such file"), (tmp_path, "is a folder, not a file")):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} ")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    head = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0)
    refused(build([(b"IHDR", head), (b"IDAT", b""), (b"IEND", b"")]), "got 65,000 x 65,000")
    jpeg = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    refused(bytes(jpeg), "got 65,000 x 65,000")
    tiff = bytearray(saved(Image.new("RGB", (8, 8)), "TIFF"))
    for tag in (256, 257):
        entry = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff[entry + 8 : entry + 12] = struct.pack("<I", 65_000)
    refused(bytes(tiff), "got 65,000 x 65,000")


def test_high_bit_depth_avif_is_refused(make_smooth: FrameMaker) -> None:
    data = bytearray(encode(make_smooth(), "avif")[0])
    data[data.index(b"av1C") + 6] |= 0x40
    refused(bytes(data), "AVIF of 10 or 12 bits")


def test_a_header_that_promises_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    from nsp_cli.image import formats

    out = BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\x60\x00\x60\x00"
    with pytest.raises(InputError, match="cannot hold"):
        read(bytes(data))
    monkeypatch.setattr(formats, "_BYTES_A_PIXEL", 10**9)
    with pytest.raises(InputError, match=r"needs .* GB of memory"):
        formats.check_size(20_000, 20_000)


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_damaged_pixels_are_one_sentence_and_no_line_of_a_library(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """OpenCV's libpng and Pillow's libtiff (LZW) write their errors on standard error."""
    if name == "png":
        data, mark = bytearray(encode(random_frame("uint16"), "png")[0]), b"IDAT"
    else:
        data, mark = bytearray(saved(Image.fromarray(random_frame().pixels), "TIFF", compression="tiff_lzw")), b"II*\0"
    at = data.index(mark) + 300
    data[at : at + 40] = bytes([0xFF]) * 40
    data = with_checksums(bytes(data)) if name == "png" else bytes(data)
    with pytest.raises(InputError, match="is damaged or incomplete"):
        read(data)
    assert capfd.readouterr().err == ""

"""The kinds of TIFF that cameras, scanners and editors write."""

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from image_builders import only_page, random_frame
from PIL import Image

from nsp_cli.errors import InputError
from nsp_cli.image import Frame, encode, read
from nsp_cli.image.metadata.ifd import Tree

FrameMaker = Callable[..., Frame]
DTYPES = ["uint8", "uint16", "float32"]


def written(array: np.ndarray, **options: Any) -> bytes:
    out = BytesIO()
    options.setdefault("photometric", "rgb" if array.shape[-1] > 2 else None)
    tifffile.imwrite(out, array, metadata=None, **options)
    return out.getvalue()


def lzw(raw: bytes) -> bytes:
    """One strip as libtiff packs it."""
    out = BytesIO()
    Image.frombytes("L", (len(raw), 1), raw).save(out, "TIFF", compression="tiff_lzw")
    page = only_page(out.getvalue())
    (start,), (length,) = page.dataoffsets, page.databytecounts
    return out.getvalue()[start : start + length]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_layouts(
    dtype: str, compression: str | None, planar: str, bigtiff: bool, byteorder: str, make_frame: FrameMaker
) -> None:
    array = make_frame(dtype, size=(37, 41)).pixels
    stored = np.moveaxis(array, 2, 0) if planar == "separate" else array
    options = {"compression": compression, "planarconfig": planar, "bigtiff": bigtiff, "byteorder": byteorder}
    found = read(written(stored, rowsperstrip=8, photometric="rgb", **options))
    assert found.pixels.dtype == np.dtype(dtype)
    assert found.pixels.dtype.isnative
    np.testing.assert_array_equal(found.pixels, array)
    np.testing.assert_array_equal(read(written(stored, tile=(16, 32), photometric="rgb", **options)).pixels, array)


@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [("uint8", 1), ("uint8", 2), ("uint16", 1), ("uint16", 2), ("float32", 1), ("float32", 3)],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_what_libtiff_writes(
    dtype: str, predictor: int, channels: int, compression: int, make_frame: FrameMaker
) -> None:
    array = make_frame(dtype, min(channels, 3), channels == 4, size=(150, 61)).channels()
    swap = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    done, data = cv2.imencode(".tiff", np.ascontiguousarray(array[..., swap]), options)
    assert done
    np.testing.assert_array_equal(read(data.tobytes()).channels(), array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"tile": (16, 16)}])
def test_lzw_in_planes_and_tiles(dtype: str, planar: bool, layout: dict, make_frame: FrameMaker) -> None:
    array = make_frame(dtype, size=(37, 41)).pixels
    stored = np.moveaxis(array, 2, 0)[..., None] if planar else array[None]

    def segments() -> Iterator[bytes]:
        step_y, step_x = layout.get("tile", (16, 41))
        for plane in stored:
            for top in range(0, 37, step_y):
                for left in range(0, 41, step_x):
                    part = plane[top : top + step_y, left : left + step_x]
                    if "tile" in layout:
                        part = np.pad(part, ((0, 16 - part.shape[0]), (0, 16 - part.shape[1]), (0, 0)))
                    yield lzw(np.ascontiguousarray(part).tobytes())

    out = BytesIO()
    tifffile.imwrite(
        out,
        segments(),
        shape=(3, 37, 41) if planar else (37, 41, 3),
        dtype=dtype,
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        compression="zlib",
        metadata=None,
        **layout,
    )
    # tifffile writes segments that are packed already, but only under a compression that it knows.
    said, true = struct.pack("<HHIH", 259, 3, 1, 8), struct.pack("<HHIH", 259, 3, 1, 5)
    assert out.getvalue().count(said) == 1
    np.testing.assert_array_equal(read(out.getvalue().replace(said, true)).pixels, array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_white_is_zero_is_turned_round(dtype: str, make_frame: FrameMaker) -> None:
    array = make_frame(dtype, 1).pixels[..., 0]
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    found = read(written(array, photometric="miniswhite"))
    np.testing.assert_array_equal(found.pixels[..., 0], (np.asarray(top, dtype) - array).astype(dtype))
    assert ["inverted" in warning for warning in found.warnings] == ([True] if dtype == "float32" else [])


def test_floats_beyond_one_are_kept_and_nan_is_not(make_frame: FrameMaker) -> None:
    array = make_frame("float32").pixels
    array[0, 0] = (-7.5, 1e30, 0.1)
    np.testing.assert_array_equal(read(written(array)).pixels, array)
    for bad in (np.nan, np.inf, -np.inf):
        array[4, 5, 1] = bad
        with pytest.raises(InputError, match="a float TIFF has values that are NaN or infinite; replace them"):
            read(written(array))


def test_floats_far_beyond_white_are_refused(make_frame: FrameMaker) -> None:
    array = make_frame("float32").pixels.copy()
    array[:, 0] = 15.9
    np.testing.assert_array_equal(read(written(array)).pixels, array)
    array[0, 0] = 500  # the sun
    np.testing.assert_array_equal(read(written(array)).pixels, array)
    for wrong in (255 * array, -20 + array):
        with pytest.raises(InputError, match=r"a float TIFF has values from 0 .* above 16, got .*; divide it"):
            read(written(wrong))


def test_premultiplied_alpha_is_turned_into_plain_alpha() -> None:
    array = np.array([[[100, 50, 25, 128], [9, 8, 7, 255], [0, 0, 0, 0]]], np.uint8)
    found = read(written(array, extrasamples=["assocalpha"]))
    np.testing.assert_array_equal(found.pixels, [[[199, 100, 50], [9, 8, 7], [0, 0, 0]]])
    np.testing.assert_array_equal(found.alpha, array[..., 3])
    assert [warning for warning in found.warnings if "premultiplied" in warning]


def test_orientation_goes_in_and_out(make_frame: FrameMaker) -> None:
    frame = make_frame("uint16")
    data = written(frame.pixels, extratags=[(274, 3, 1, 6, True)], software="Scanner", resolution=(118, 118))
    found = read(data)
    np.testing.assert_array_equal(found.pixels, frame.pixels)
    assert found.metadata.dpi == (118, 118)
    tags = only_page(encode(found, "tiff")[0]).tags
    assert (tags[274].value, tags[305].value, tags[282].value) == (6, "Scanner", (118, 1))
    with Image.open(BytesIO(encode(found, "jpeg")[0])) as image:
        assert image.getexif()[274] == 6


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((8, 8, 3), np.float64), {}, "TIFF of 64 bits, float"),
        (np.zeros((8, 8, 3), np.int16), {}, "TIFF of 16 bits, signed"),
        (np.zeros((8, 8, 3), np.uint32), {}, "TIFF of 32 bits, unsigned"),
        (np.zeros((8, 8, 3), np.float16), {}, "TIFF of 16 bits, float"),
        (np.zeros((8, 8), bool), {"photometric": "minisblack"}, "TIFF of 1 bits"),
        (np.zeros((8, 8, 5), np.uint8), {"extrasamples": (0, 0)}, "TIFF of 5 channels"),
        (np.zeros((8, 8), np.uint16), {"photometric": "cfa"}, "RAW file in TIFF form"),
        (np.zeros((8, 8, 3), np.uint8), {"extratags": [(50706, 1, 4, b"\1\4\0\0", True)]}, "RAW file in TIFF form"),
        (np.zeros((8, 8, 3), np.uint8), {"photometric": "cielab"}, "TIFF in Lab"),
        (np.zeros((8, 8), np.uint8), {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}, "palette"),
    ],
)
def test_what_a_frame_does_not_hold_is_refused(array: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(written(array, **options))


def test_jpeg_inside_tiff_is_refused() -> None:
    out = BytesIO()
    Image.new("RGB", (16, 16)).save(out, "TIFF", compression="jpeg")
    with pytest.raises(InputError, match="TIFF compression JPEG is not supported"):
        read(out.getvalue())


def test_a_reduced_second_page_is_no_second_picture(make_frame: FrameMaker) -> None:
    frame, out = make_frame(), BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(frame.pixels, photometric="rgb", metadata=None)
        writer.write(frame.pixels[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(read(out.getvalue()).pixels, frame.pixels)


def test_a_missing_strip_is_refused(make_frame: FrameMaker) -> None:
    data = bytearray(written(make_frame(size=(32, 32)).pixels, rowsperstrip=8, compression="zlib"))
    start = only_page(bytes(data)).tags[273].valueoffset
    struct.pack_into("<I", data, start + 4, len(data) + 5)
    with pytest.raises(InputError, match="pixels are missing"):
        read(bytes(data))


def test_a_large_photo_is_not_kept_twice(make_frame: FrameMaker) -> None:
    """36 MB of noise, which Deflate cannot make much smaller; buffers may have some more."""
    frame, buffers = make_frame("float32", size=(1000, 3000)), 20_000_000
    tracemalloc.start()
    data, _ = encode(frame, "tiff")
    most_written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found.pixels, frame.pixels)
    assert most_written < len(data) + buffers
    assert peak - len(data) < frame.pixels.nbytes + buffers


@pytest.mark.parametrize(
    "layout", [{"rowsperstrip": 16}, {"tile": (32, 32)}, {"tile": (32, 32), "compression": "zlib"}]
)
def test_a_strip_or_tile_without_a_place_is_missing(layout: dict[str, Any]) -> None:
    out = BytesIO()
    tifffile.imwrite(out, random_frame(size=(64, 64)).pixels, photometric="rgb", **layout)
    data = bytearray(out.getvalue())
    tree = Tree(bytes(data))
    offsets = tree.directory(tree.first).fields[324 if "tile" in layout else 273]
    struct.pack_into("<I", data, offsets.start + 4, 0)  # of the second one
    with pytest.raises(InputError, match="pixels are missing"):
        read(bytes(data))

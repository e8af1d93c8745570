"""Strips and tiles that tifffile cannot decode without a further package: LZW, and the float predictor.

LZW comes from Pillow's libtiff. Everything else (places, planes, byte order, integer predictor) stays with tifffile,
which is passed the segments as uncompressed ones.
"""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import COMPRESSION, PREDICTOR, TiffPage

from nsp_cli.system.stderr import captured_stderr

LZW, DEFLATE = 5, (8, 32946)
FLOAT_PREDICTOR = 3  # the value of TIFF's tag Predictor
_LIBTIFF = re.compile(r"(tempfile\.tif|LZW\w*): ")  # Pillow's name for data that it reads from memory


def decode_page(page: TiffPage, data: bytes) -> NDArray[Any]:
    """Decode a page as `page.asarray(squeeze=False)` does, to (planes, 1, H, W, C).

    `data` is the whole file. The function changes `page`.
    """
    compression, predictor, dtype = int(page.compression), int(page.predictor), np.dtype(page.dtype)
    page.compression = COMPRESSION.NONE
    if predictor == FLOAT_PREDICTOR:
        page.predictor = PREDICTOR.NONE
    decode_segment = page.decode
    result = np.zeros(page.shaped, dtype)
    for index, (start, length) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        rows, width, samples = _segment_shape(page, index)
        raw = _expand(compression, data[start : start + length], rows * width * samples * dtype.itemsize)
        if predictor == FLOAT_PREDICTOR:
            raw = _undo_float_predictor(raw, width, samples).astype(page.parent.byteorder + "f4").tobytes()
        segment, (plane, depth, top, left, _), _ = decode_segment(raw, index)
        if segment is None:
            raise ValueError("pixels are missing")
        part = result[plane, depth, top : top + segment.shape[1], left : left + segment.shape[2]]
        part[...] = segment[0, : part.shape[0], : part.shape[1]]
    return result


def _segment_shape(page: TiffPage, index: int) -> tuple[int, int, int]:
    """Return (rows, width, samples) of a strip or tile; the last strip of a plane may be lower."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        return page.tilelength, page.tilewidth, samples
    rows = min(page.rowsperstrip, page.imagelength)
    strips = -(-page.imagelength // rows)
    return min(rows, page.imagelength - index % strips * rows), page.imagewidth, samples


def _expand(compression: int, packed: bytes, length: int) -> bytes:
    """Decompress a strip or tile to `length` bytes. Raises ValueError where it has another length."""
    if compression == LZW:
        raw = _expand_lzw(packed, length)
    elif compression in DEFLATE:
        raw = zlib.decompressobj().decompress(packed, length)
    else:
        raw = packed[:length]
    if len(raw) != length:
        raise ValueError(f"a strip of {len(raw):,} bytes where {length:,} belong")
    return raw


def _expand_lzw(packed: bytes, length: int) -> bytes:
    """Decode one LZW segment to `length` bytes, through Pillow, as the only strip of an 8-bit grey TIFF."""
    size, layout = ((256, length), (257, 1), (258, 8)), ((259, LZW), (262, 1))
    place = ((273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 1), (279, len(packed)))
    head = struct.pack("<2sHIH", b"II", 42, 8, 9)
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*size, *layout, *place))
    image = TiffImagePlugin.TiffImageFile(BytesIO(head + body + bytes(4) + packed))
    with captured_stderr(_LIBTIFF) as errors:
        try:
            return image.tobytes()
        except OSError:
            pass
    raise ValueError(errors[0] if errors else "a strip cannot be decoded")


def _undo_float_predictor(raw: bytes, width: int, samples: int) -> NDArray[np.float32]:
    """Undo predictor 3: rows of byte differences, the high bytes of all values first (Adobe TIFF Technical Note 3)."""
    steps = np.frombuffer(raw, np.uint8).reshape(-1, 4 * width, samples)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(-1, 4, width * samples)
    return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(">f4")

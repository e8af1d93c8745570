"""PNG: small pictures of 8 bits through Pillow, the others through OpenCV, and its metadata chunks by hand.

Neither library writes 16-bit grey with alpha, pixel density, or a profile that libpng finds odd, and both pass over
some damage; a chunk is four fields, so reading and writing them here is both shorter and stricter.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.png_metadata import Chunk, metadata_chunks, read_metadata
from nsp_cli.image.codecs.trailers import named_trailer
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Pixels, split_channels
from nsp_cli.system.stderr import captured_stderr

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ANCILLARY = 0x20  # bit of a chunk type's first byte: the picture can be decoded without the chunk
_APPLE = b"CgBI"
_GREY = 0  # colour type
_INFLATED_AT_ONCE = 1 << 20  # bytes
_LIBPNG = re.compile(r"libpng (error|warning): |\[ ?(WARN|ERROR):.*grfmt_png.*?\d+\)? ")  # the second is OpenCV's
_SMALL = 2**18
"""Bytes of pixels that Pillow writes before OpenCV, which writes faster, is loaded."""


def decode(data: bytes) -> Frame:
    """Decode a PNG file; see `Codec.decode`."""
    damaged: list[bytes] = []
    chunks = list(split_chunks(data, damaged))
    if chunks[0][0] == _APPLE:
        raise InputError("PNG in Apple's CgBI form is not supported: convert it to standard PNG first")
    if chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        raise ValueError("the header or the end is missing")
    width, height, depth = struct.unpack_from(">IIB", chunks[0][1])
    check_size(width, height)
    if any(kind == b"acTL" and body[:4] != b"\0\0\0\1" for kind, body in chunks):
        raise InputError("an animated PNG is not supported: give a still picture")
    # Only what makes the picture is passed on, so that no library trips over a text or a profile.
    bare = build([chunk for chunk in chunks if chunk[0] in _PICTURE_CHUNKS])
    pixels, alpha = split_channels(_decode_16(bare, chunks) if depth == 16 else _decode_8(bare, chunks))
    metadata, warnings = read_metadata(chunks, set(damaged) - {b"IEND"}, grey=pixels.shape[2] == 1)
    if b"IEND" in damaged:
        warnings += ("The PNG ends without its IEND chunk, but all of the picture is there.",)
    else:
        warnings += named_trailer(data[_end(data) :], "PNG")
    return Frame(pixels, alpha, metadata, "png", warnings=warnings)


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:  # noqa: ARG001 - PNG has no quality
    """Encode a frame, without loss; see `Codec.encode`."""
    head, *rest = list(split_chunks(_encode_pixels(frame.channels())))
    return build([head, *metadata_chunks(frame.metadata), *rest]), ()


def build(chunks: list[Chunk]) -> bytes:
    """Build a PNG file from (type, body) chunks."""
    parts = [SIGNATURE]
    for kind, body in chunks:
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))]
    return b"".join(parts)


def split_chunks(data: bytes, damaged: list[bytes] | None = None) -> Iterator[Chunk]:
    """Yield (type, body) of each chunk up to IEND.

    Raises ValueError at the first that is cut off or altered. With `damaged`, altered chunks that the picture does not
    need are left out, and their types are added to that list; so is IEND, where it is missing after a whole picture.
    """
    at, kind, packed = len(SIGNATURE), b"", list[bytes]()
    while kind != b"IEND":
        if at + 12 > len(data):
            if damaged is not None and _is_whole(packed):
                damaged.append(b"IEND")
                yield b"IEND", b""
                return
            raise ValueError(f"it ends at byte {len(data):,}, before its IEND chunk")
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))):
            packed += [body] if kind == b"IDAT" else []
            yield kind, body
        elif damaged is not None and kind[0] & _ANCILLARY and kind.isalpha() and kind not in _PICTURE_CHUNKS:
            damaged.append(kind)  # if its length is wrong too, what follows is not a chunk
        else:
            raise ValueError(f"wrong checksum in the chunk at byte {at:,}")
        at += 12 + length


def _is_whole(packed: list[bytes]) -> bool:
    """Return whether the bodies of IDAT chunks hold all of their compressed pixels, with their checksum."""
    inflater = zlib.decompressobj()
    try:
        for body in packed:
            rest = body
            while rest:
                inflater.decompress(rest, _INFLATED_AT_ONCE)
                rest = inflater.unconsumed_tail
    except zlib.error:
        return False
    return inflater.eof


def _end(data: bytes) -> int:
    """Return the place after the IEND chunk of a PNG that has one."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return at


def _decode_8(bare: bytes, chunks: list[Chunk]) -> Pixels:
    """Decode up to 8 bits by Pillow to (H, W) or (H, W, 2 to 4): palettes become RGB, transparent colours alpha."""
    depth, colour = chunks[0][1][8:10]
    key = next((body for kind, body in chunks if kind == b"tRNS"), None)
    if depth < 8 and colour == _GREY and key is not None:  # Pillow compares the shade before it is scaled, or drops it
        plain = build([chunk for chunk in chunks if chunk[0] in _PICTURE_CHUNKS and chunk[0] != b"tRNS"])
        grey = np.array(PngImagePlugin.PngImageFile(BytesIO(plain)).convert("L"))
        shade = struct.unpack(">H", key)[0] % 2**depth * 255 // (2**depth - 1)
        return np.dstack([grey, np.where(grey == shade, 0, 255).astype(np.uint8)])
    image = PngImagePlugin.PngImageFile(BytesIO(bare))
    image.load()
    if image.mode == "1" or (image.mode == "L" and not image.has_transparency_data):
        return np.array(image.convert("L"))
    if image.mode in ("L", "LA"):
        return np.array(image.convert("LA"))
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _decode_16(bare: bytes, chunks: list[Chunk]) -> Pixels:
    """Decode 16 bits by OpenCV to (H, W) or (H, W, 2 to 4); the transparent shade of a grey picture becomes alpha."""
    import cv2

    with captured_stderr(_LIBPNG) as errors:
        array = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise ValueError(errors[0] if errors else "the pixels cannot be decoded")
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA if array.shape[2] == 4 else cv2.COLOR_BGR2RGB)
        if chunks[0][1][9] == 4:  # OpenCV repeats the grey of grey + alpha three times
            array = array[:, :, 2:]
    else:
        key = next((body for kind, body in chunks if kind == b"tRNS"), None)
        if key is not None:  # OpenCV passes over the transparent shade of a grey picture
            opaque = array != struct.unpack(">H", key)[0]
            array = np.dstack([array, opaque * np.uint16(65535)])
    return array.astype(np.uint16, copy=False)


def _encode_pixels(array: Pixels) -> bytes:
    """Encode (H, W, 1 to 4) uint8 or uint16 as a PNG file without metadata.

    OpenCV writes no grey + alpha. PNG filters bytes, not samples, so such pixels are passed off as others with as
    many bytes each (8-bit pairs as 16-bit grey, 16-bit pairs as 8-bit RGBA), and the header is set right afterwards.
    """
    if array.dtype == np.uint8 and array.nbytes <= _SMALL:
        out = BytesIO()
        Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(out, "PNG")
        return out.getvalue()
    import cv2

    channels = array.shape[2]
    if channels == 2:
        shape = (*array.shape[:2], 2 * array.itemsize)
        view = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(">"))).view(np.uint8).reshape(shape)
        stand_in = view.view(">u2").astype(np.uint16) if array.itemsize == 1 else view
    else:
        stand_in = array
    if stand_in.shape[-1] > 1:
        stand_in = cv2.cvtColor(stand_in, cv2.COLOR_RGBA2BGRA if stand_in.shape[-1] == 4 else cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".png", stand_in)
    if not done:
        raise ValueError("OpenCV cannot encode it")
    if channels != 2:
        return encoded.tobytes()
    (kind, head), *rest = list(split_chunks(encoded.tobytes()))
    return build([(kind, head[:8] + bytes([8 * array.itemsize, 4]) + head[10:]), *rest])

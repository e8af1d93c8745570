"""WebP through Pillow; at quality 100 it is written without loss."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, WebPImagePlugin

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.trailers import named_trailer
from nsp_cli.image.formats import check_size, own_pixel_limit
from nsp_cli.image.frame import Frame, Metadata, split_channels
from nsp_cli.image.metadata.exif import exif_dpi

_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}

_EXTENDED, _FLAGS = b"VP8X", {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # bits that announce a chunk


def decode(data: bytes) -> Frame:
    """Decode a WebP file; see `Codec.decode`."""
    data, damaged = _without_cut_off(data)
    with own_pixel_limit():
        image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    check_size(*image.size)
    if image.n_frames > 1:
        raise InputError(f"an animated WebP ({image.n_frames} frames) is not supported: give a still picture")
    image.load()
    pixels, alpha = split_channels(np.array(image))
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    metadata = Metadata(info.get("icc_profile") or None, exif, info.get("xmp") or None, exif_dpi(exif))
    return Frame(pixels, alpha, metadata, "webp", warnings=(*damaged, *_left_behind(data)))


def _without_cut_off(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Leave out the last chunk of a WebP where it is metadata that is cut off; also return a sentence on it."""
    at, length = 12, 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            break
        at += 8 + length + length % 2
    end = 8 + int.from_bytes(data[4:8], "little")
    kind = data[at : at + 4]
    if end <= len(data) or (len(kind) == 4 and kind not in _FLAGS):
        return data, ()
    whole = bytearray(data[:at].ljust(at, b"\0"))
    whole[4:8] = (at - 8).to_bytes(4, "little")
    if data[12:16] == _EXTENDED:
        whole[20] &= ~_FLAGS.get(kind, 0)
    name = kind.decode().strip() if kind in _FLAGS else "its end"
    return bytes(whole), (f"The WebP has damaged metadata, which is not carried over: {name} is cut off.",)


def _left_behind(data: bytes) -> tuple[str, ...]:
    """Return a sentence on each thing in a WebP beside its picture and metadata."""
    end = 8 + int.from_bytes(data[4:8], "little")
    at, others = 12, set[str]()
    while at + 8 <= min(end, len(data)):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if kind not in _CHUNKS:
            others.add(kind.decode("latin-1").strip())
        at += 8 + length + length % 2
    further = (f"The WebP's further chunks are not carried over: {', '.join(sorted(others))}.",) if others else ()
    return (*further, *named_trailer(data[end:], "WebP"))


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
    """Encode a frame; see `Codec.encode`."""
    metadata, out = frame.metadata, BytesIO()
    Image.fromarray(np.ascontiguousarray(frame.channels())).save(
        out,
        "WEBP",
        quality=quality,
        lossless=quality == 100,
        exact=True,
        exif=metadata.exif or b"",
        icc_profile=metadata.icc or b"",
        xmp=metadata.xmp or b"",
    )
    return out.getvalue(), ()

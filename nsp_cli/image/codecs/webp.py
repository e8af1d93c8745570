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


def decode(data: bytes) -> Frame:
    """Decode a WebP file; see `Codec.decode`."""
    with own_pixel_limit():
        image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    check_size(*image.size)
    if image.n_frames > 1:
        raise InputError(f"expected a still picture, found an animated WebP of {image.n_frames} frames")
    image.load()
    pixels, alpha = split_channels(np.array(image))
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    metadata = Metadata(info.get("icc_profile") or None, exif, info.get("xmp") or None, exif_dpi(exif))
    return Frame(pixels, alpha, metadata, "webp", warnings=_left_behind(data))


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

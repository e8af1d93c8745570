"""WebP through Pillow; at quality 100 it is written without loss."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, WebPImagePlugin

from nsp_cli.errors import InputError
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, split_channels
from nsp_cli.image.metadata.exif import exif_dpi


def decode(data: bytes) -> Frame:
    """Decode a WebP file; see `Codec.decode`."""
    image = WebPImagePlugin.WebPImageFile(BytesIO(data))
    check_size(*image.size)
    if image.n_frames > 1:
        raise InputError(f"expected a still picture, found an animated WebP of {image.n_frames} frames")
    image.load()
    pixels, alpha = split_channels(np.array(image))
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    metadata = Metadata(info.get("icc_profile") or None, exif, info.get("xmp") or None, exif_dpi(exif))
    return Frame(pixels, alpha, metadata, "webp")


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

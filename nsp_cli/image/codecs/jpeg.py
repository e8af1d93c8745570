"""JPEG: metadata through Pillow, which keeps EXIF, XMP and ICC bytes as they are, and pixels through libjpeg-turbo."""

from __future__ import annotations

import contextlib
import struct
import warnings as python_warnings
from io import BytesIO
from typing import Any, cast

import numpy as np
import simplejpeg
from PIL import Image, JpegImagePlugin

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.jpeg_extras import first_iptc, left_behind
from nsp_cli.image.codecs.jpeg_scans import (
    has_every_block,
    unsupported_kind,
    with_end_marker,
    without_damaged_segments,
    without_short_segments,
)
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, Pixels, split_channels
from nsp_cli.image.metadata.exif import exif_dpi
from nsp_cli.image.metadata.photoshop import IPTC_RESOURCE

# Pillow reads the resolution from EXIF and warns of odd fields there, which are kept as they are.
python_warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

_SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_MAX_EXIF, _MAX_XMP, _MAX_IPTC = 65_533 - 6, 65_533 - 29, 65_533 - 27
_DAMAGED = "The JPEG has damaged metadata, which is not carried over: {}."
_MOST_PIXELS_A_BYTE = 2_000
"""Largest plausible ratio: each block of 64 pixels takes at least a bit, and chroma has a quarter as many blocks."""


def decode(data: bytes) -> Frame:
    """Decode a JPEG file of 8 bits; see `Codec.decode`."""
    if (kind := unsupported_kind(data)) is not None:
        raise InputError(f"{kind} is not supported: convert it to TIFF first")
    data, damaged = without_short_segments(data)
    image = JpegImagePlugin.JpegImageFile(BytesIO(data))
    check_size(*image.size)
    if image.width * image.height > _MOST_PIXELS_A_BYTE * len(data):
        raise ValueError(f"{len(data):,} bytes cannot hold {image.width:,} x {image.height:,} pixels")
    if image.mode not in ("L", "RGB"):
        raise InputError(f"a JPEG in {image.mode} is not supported: convert it to RGB first")
    pixels, warnings = _pixels(image, data)
    if damaged:
        warnings += (_DAMAGED.format(", ".join(damaged)),)
    info = cast(dict[str, Any], image.info)
    exif = info.get("exif", b"").removeprefix(b"Exif\0\0") or None
    metadata = Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif,
        xmp=info.get("xmp") or None,
        # Pillow returns 72 where neither JFIF nor EXIF has a resolution.
        dpi=info.get("dpi") if info.get("jfif_unit") in (1, 2) else exif_dpi(exif),
        iptc=first_iptc(image.applist),
    )
    subsampling = _SUBSAMPLING.get(JpegImagePlugin.get_sampling(image))
    return Frame(pixels, None, metadata, "jpeg", subsampling, (*warnings, *left_behind(info, image.applist, data)))


def _pixels(image: JpegImagePlugin.JpegImageFile, data: bytes) -> tuple[Pixels, tuple[str, ...]]:
    """Decode an opened JPEG to (H, W, C), with a sentence if its end marker is missing. Raises for missing blocks.

    A file without any damage is decoded once, by simplejpeg, in half the time and to the same values as by Pillow.
    """
    colours = "RGB" if image.mode == "RGB" else "GRAY"
    with contextlib.suppress(ValueError):  # for any warning of libjpeg, most of which lose nothing
        return simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, strict=True), ()
    data, damaged = without_damaged_segments(data)
    warnings = (_DAMAGED.format(", ".join(damaged)),) if damaged else ()
    try:
        array = np.array(JpegImagePlugin.JpegImageFile(BytesIO(data)) if damaged else image)
        ended = True
    except OSError:  # also when the end marker alone is missing
        ended, data = False, with_end_marker(data)
        array = np.array(JpegImagePlugin.JpegImageFile(BytesIO(data)))
    pixels, _ = split_channels(array)
    if not has_every_block(data, strict=not ended):
        raise ValueError("a part of the picture is missing")
    if not ended:
        warnings += ("The JPEG ends without its end marker, but all of the picture is there.",)
    return pixels, warnings


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
    """Encode a frame; see `Codec.encode`."""
    metadata = frame.metadata
    warnings: list[str] = []
    options: dict[str, Any] = {"quality": quality, "subsampling": frame.jpeg_subsampling or "4:4:4"}
    if metadata.icc is not None:
        options["icc_profile"] = metadata.icc
    if metadata.dpi is not None:
        options["dpi"] = metadata.dpi
    for name, value, limit in (
        ("EXIF", metadata.exif, _MAX_EXIF),
        ("XMP", metadata.xmp, _MAX_XMP),
        ("IPTC", metadata.iptc, _MAX_IPTC),
    ):
        if value is None:
            continue
        if len(value) > limit:
            warnings.append(f"{name} of {len(value):,} bytes is not kept: a JPEG holds {limit:,}.")
        else:
            key, wrapped = _wrap(name, value)
            options[key] = wrapped
    out = BytesIO()
    pixels = frame.pixels[:, :, 0] if frame.pixels.shape[2] == 1 else frame.pixels
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", **options)
    return out.getvalue(), tuple(warnings)


def _wrap(name: str, value: bytes) -> tuple[str, bytes]:
    """Return Pillow's keyword for a kind of metadata, and the value in Pillow's form."""
    if name == "EXIF":
        return "exif", b"Exif\0\0" + value
    if name == "XMP":
        return "xmp", value
    resource = b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(value)) + value + b"\0" * (len(value) % 2)
    segment = b"Photoshop 3.0\0" + resource
    return "extra", b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment

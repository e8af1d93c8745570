"""RAW through rawpy (LibRaw): developed to 16-bit sRGB, upright, with the camera's EXIF."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray
from PIL import ImageCms, JpegImagePlugin

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.linear_raw import camera_model, demosaic
from nsp_cli.image.codecs.raw_kinds import RawOptions
from nsp_cli.image.codecs.raw_mosaic import (
    BALANCED,
    balance,
    can_balance,
    encode_signed,
    picture_balance,
    remove_hot_sites,
)
from nsp_cli.image.codecs.raw_segments import check_whole
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, Pixels
from nsp_cli.image.metadata.exif import exif_dpi, mark_developed
from nsp_cli.image.metadata.raw_exif import raw_exif, raw_iptc, raw_xmp
from nsp_cli.system.stderr import captured_stderr

_SRGB_CURVE = (2.4, 12.92)
_LIBRAW = re.compile("unknown file: ")  # LibRaw's name for data that it reads from memory; it has no other report


def decode(data: bytes, develop: RawOptions | None = None) -> Frame:
    """Develop a RAW file to an upright frame with EXIF to match and an sRGB profile.

    With `RawOptions.linear` it is in the camera's own colours and not rotated, see `linear_raw.demosaic`.
    """
    develop = develop or RawOptions()
    warnings: list[str] = []
    check_whole(data)
    try:
        with rawpy.imread(BytesIO(data)) as raw:
            check_size(raw.sizes.iwidth, raw.sizes.iheight)
            with captured_stderr(_LIBRAW) as errors:
                raw.unpack()
            if errors:
                raise InputError(f"the RAW file is damaged (LibRaw: {errors[0]})")
            remove_hot_sites(raw)
            white_balance = _white_balance(raw, develop, warnings)
            linear = below = None
            if develop.linear:
                pixels, linear = demosaic(raw, data, warnings)
            else:
                pixels, below = _develop(raw, data, white_balance, develop.exposure)
            with captured_stderr(_LIBRAW):
                preview = preview_exif(raw)
    except rawpy.LibRawFileUnsupportedError as error:  # pyright: ignore[reportAttributeAccessIssue]
        form = "TIFF form" if data[:2] in (b"II", b"MM") else "a form"
        raise InputError(f"this is a RAW file in {form} that LibRaw cannot develop") from error
    except rawpy.LibRawError as error:  # pyright: ignore[reportAttributeAccessIssue]
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InputError(f"the RAW file is damaged or incomplete (LibRaw: {reason})") from error
    exif, more = raw_exif(data, preview)
    xmp, on_xmp = raw_xmp(data, developed=linear is None)
    if linear is None:
        exif = mark_developed(exif)
    else:
        linear = replace(linear, camera=camera_model(exif))
    if grey := pixels.shape[2] != 3:
        pixels = np.ascontiguousarray(pixels[:, :, :1])
    if below is not None and grey:
        below = np.ascontiguousarray(below[:, :, :1])
    metadata = Metadata(_srgb_profile(), exif, xmp, exif_dpi(exif), raw_iptc(data))
    sentences = (*warnings, *more, *on_xmp)
    return Frame(pixels, None, metadata, "raw", warnings=sentences, linear_raw=linear, below_black=below)


def _white_balance(raw: Any, develop: RawOptions, warnings: list[str]) -> str:
    """Return the white balance to use: that of the settings, or what replaces the camera's where the file has none."""
    if develop.white_balance != "camera" or raw.num_colors == 1 or min(raw.camera_whitebalance[:3]) > 0:
        return develop.white_balance
    used = "that of the DNG is for daylight" if develop.linear else "it is estimated from the picture (auto)"
    warnings.append(f"The RAW file does not hold the camera's white balance: {used}.")
    return "auto"


def _develop(raw: Any, data: bytes, white_balance: str, exposure: float) -> tuple[Pixels, Pixels | None]:
    """Develop to sRGB (H, W, C) as uint16, and return how far the values are below black, see `Frame`."""
    srgb = rawpy.ColorSpace.sRGB  # pyright: ignore[reportAttributeAccessIssue]
    if can_balance(raw, data) and (lift := balance(raw, _gains(raw, white_balance))):
        return encode_signed(raw.postprocess(output_color=srgb, **BALANCED), lift, exposure)
    options = {"auto": {"use_auto_wb": True}, "camera": {"use_camera_wb": True}, "daylight": {}}[white_balance]
    bright = 2.0**exposure
    pixels = raw.postprocess(
        output_color=srgb, output_bps=16, gamma=_SRGB_CURVE, no_auto_bright=True, bright=bright, **options
    )
    return pixels, None


def _gains(raw: Any, white_balance: str) -> NDArray[np.float64]:
    if raw.num_colors == 1:
        return np.ones(3)
    if white_balance == "auto":
        return picture_balance(raw)
    gains = raw.camera_whitebalance if white_balance == "camera" else raw.daylight_whitebalance
    return np.array(gains[:3], np.float64) if min(gains[:3]) > 0 else np.ones(3)


def preview_exif(raw: Any) -> bytes | None:
    """Read the EXIF of the JPEG preview that most cameras put into their RAW files."""
    try:
        preview = raw.extract_thumb()
        if preview.format != rawpy.ThumbFormat.JPEG:  # pyright: ignore[reportAttributeAccessIssue]
            return None
        info = JpegImagePlugin.JpegImageFile(BytesIO(preview.data)).info
    except Exception:  # a preview is a convenience, its damage must not cost the photo
        return None
    return info.get("exif", b"").removeprefix(b"Exif\0\0") or None


@cache
def _srgb_profile() -> bytes:
    """Return the sRGB profile, which is embedded because the camera's EXIF may name the colours of its JPEGs."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

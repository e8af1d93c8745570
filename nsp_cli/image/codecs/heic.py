"""HEIC and HEIF of 8, 10 and 12 bits, read with pi-heif, which is an optional extra: its wheel is LGPLv3."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.avif import left_behind
from nsp_cli.image.codecs.trailers import named_boxes
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, Pixels, split_channels
from nsp_cli.image.metadata.boxes import primary_picture, with_readable_names
from nsp_cli.image.metadata.cicp import profile_of_codes
from nsp_cli.image.metadata.exif import exif_dpi, upright_exif
from nsp_cli.image.metadata.xmp import upright_xmp

INSTALL = "install pi-heif with: pip install pi-heif"


def decode(data: bytes) -> Frame:
    """Decode the primary picture, upright: HEIC stores turns as part of the picture, and EXIF repeats them."""
    image, pictures, damaged = open_primary(data)
    check_size(*image.size)
    mode, _, bits = image.mode.partition(";")
    if mode not in ("L", "I", "RGB", "RGBA"):
        raise InputError(f"a HEIC in {image.mode} is not supported: convert it to TIFF or JPEG in grey or RGB first")
    pixels, alpha = split_channels(_widened(np.array(image), int(bits or 8)))
    info: dict[str, Any] = image.info
    exif = upright_exif((info.get("exif") or b"").removeprefix(b"Exif\0\0") or None)
    icc = info.get("icc_profile") or _profile(info.get("nclx_profile") or {}, grey=pixels.shape[2] == 1)
    metadata = Metadata(icc, exif, upright_xmp(info.get("xmp")), exif_dpi(exif))
    warnings = (*left_behind(primary_picture(data), "HEIC"), *named_boxes(data, "HEIC"))
    if damaged:
        warnings += ("The HEIC has damaged metadata, which is not carried over.",)
    if pictures > 1:
        warnings += (f"The HEIC holds {pictures} pictures: only its primary one is read.",)
    return Frame(pixels, alpha, metadata, "heic", warnings=warnings)


def open_primary(data: bytes) -> tuple[Any, int, bool]:
    """Open the primary picture without decoding it.

    Returns
    -------
    tuple[Any, int, bool]
        The picture, the number of pictures, and whether the names of the file's items are damaged.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise InputError(f"HEIC cannot be read here: {INSTALL}") from error
    readable = with_readable_names(data)
    file: Any = pi_heif.open_heif(BytesIO(readable), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return file[file.primary_index], len(file), readable != data


def _widened(array: Pixels, bits: int) -> Pixels:
    """Scale values of 10 or 12 bits to uint16, white = 65535; 8 bits stay as they are."""
    if bits == 8:
        return array
    white = 2**bits - 1
    return ((array.astype(np.uint32) * 65535 + white // 2) // white).astype(np.uint16)


def _profile(nclx: dict[str, Any], *, grey: bool) -> bytes | None:
    """Return the ICC profile of colours that are described by numbers alone; None for sRGB."""
    if not nclx:
        return None
    return profile_of_codes(nclx["color_primaries"], nclx["transfer_characteristics"], grey=grey)

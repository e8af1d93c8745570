"""Data in a JPEG beside its picture: IPTC among Photoshop's resources, and data that is not carried over.

Sources: ITU-T T.81 (segments), CIPA DC-007 (MPF), ISO 21496-1 (gain maps).
"""

from __future__ import annotations

import re
from typing import Any

from nsp_cli.image.codecs.jpeg_scans import end_of_picture
from nsp_cli.image.codecs.trailers import named_trailer
from nsp_cli.image.metadata import photoshop
from nsp_cli.image.metadata.photoshop import Resource, iptc_blocks, resources
from nsp_cli.image.metadata.xmp import describes_gain_map

Segments = list[tuple[str, bytes]]
"""(name, body) as Pillow lists them: "APP0" … "APP15", "COM"."""

_PHOTOSHOP = b"Photoshop 3.0\0"
_ICC = b"ICC_PROFILE\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_GAIN_MAP = (b"urn:iso:std:iso:ts:21496:-1\0",)
_KNOWN = {
    "APP0": (b"JFIF", b"JFXX"),  # the second is a thumbnail
    "APP1": (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", _EXTENDED_XMP),
    "APP2": (_ICC, b"MPF\0", *_GAIN_MAP),
    "APP13": (_PHOTOSHOP,),
    "APP14": (b"Adobe",),
}
_CONTENT_CREDENTIALS = ("APP11", b"JP")
_NAME = re.compile(rb"[A-Za-z][\w .:/-]{1,30}")
_APPLE_GAIN_MAP = b"http://ns.apple.com/HDRGainMap/1.0/"  # in the XMP of a further picture


def first_iptc(segments: Segments) -> bytes | None:
    """Return the first block of IPTC-IIM, as exiftool does; None where there is none."""
    return next(iter(iptc_blocks(_resources(segments))), None)


def left_behind(info: dict[Any, Any], segments: Segments, data: bytes) -> tuple[str, ...]:
    """Return a sentence on each thing in a JPEG that is not carried over.

    Parameters
    ----------
    info, segments
        Metadata that Pillow found in it.
    data : bytes
        The whole file.
    """
    found: list[str] = []
    if not info.get("icc_profile") and any(body.startswith(_ICC) for _, body in segments):
        found.append("Without the JPEG's colour profile, a part of which is missing, the photo is taken for sRGB.")
    trailer = data[end_of_picture(data) :]
    if _has_gain_map(info, segments, trailer):
        found.append("The JPEG's gain map, which makes it HDR, is not carried over.")
    if "mp" in info:
        found.append("The further pictures inside the JPEG (previews, gain map) are not carried over.")
    found += named_trailer(trailer, "JPEG", known="mp" in info)
    if any(body.startswith(_EXTENDED_XMP) for _, body in segments):
        found.append("The extended part of the JPEG's XMP is not carried over.")
    in_photoshop = _resources(segments)
    if len(iptc_blocks(in_photoshop)) > 1:
        found.append("The JPEG's second block of IPTC is not carried over.")
    found += photoshop.left_behind(in_photoshop, "JPEG")
    if any(name == _CONTENT_CREDENTIALS[0] and body.startswith(_CONTENT_CREDENTIALS[1]) for name, body in segments):
        found.append("The JPEG's content credentials (C2PA, JUMBF) are not carried over.")
    if others := sorted({_label(name, body) for name, body in segments if not _is_known(name, body)}):
        found.append(f"The JPEG's vendor segments are not carried over: {', '.join(others)}.")
    if info.get("comment"):
        found.append("The JPEG's comment is not carried over.")
    return tuple(found)


def _resources(segments: Segments) -> list[Resource]:
    """Return Photoshop's resources of all segments."""
    blocks = [body for name, body in segments if name == "APP13" and body.startswith(_PHOTOSHOP)]
    return [resource for block in blocks for resource in resources(block[len(_PHOTOSHOP) :])]


def _has_gain_map(info: dict[Any, Any], segments: Segments, trailer: bytes) -> bool:
    iso = any(name == "APP2" and body.startswith(_GAIN_MAP) for name, body in segments)
    return iso or describes_gain_map(info.get("xmp") or b"") or _APPLE_GAIN_MAP in trailer


def _is_known(name: str, body: bytes) -> bool:
    if name == "COM" or (name == _CONTENT_CREDENTIALS[0] and body.startswith(_CONTENT_CREDENTIALS[1])):
        return True
    return body.startswith(_KNOWN.get(name, ())) or not body.strip(b"\0")


def _label(name: str, body: bytes) -> str:
    start = _NAME.match(body)
    return f"{name} {start[0].decode().strip()}" if start else name

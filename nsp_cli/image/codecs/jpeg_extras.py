"""What a JPEG holds beside its picture: IPTC among Photoshop's resources, and what is not carried over.

Sources: ITU-T T.81 (segments), CIPA DC-007 (MPF), Adobe's Photoshop File Formats Specification (image resources),
ISO 21496-1 (gain maps).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from nsp_cli.image.codecs.jpeg_scans import end_of_picture
from nsp_cli.image.codecs.trailers import named_trailer
from nsp_cli.image.metadata.xmp import describes_gain_map

Segments = list[tuple[str, bytes]]
"""(name, body) as Pillow lists them: "APP0" … "APP15", "COM"."""

IPTC_RESOURCE = 0x0404
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
_PHOTOSHOP_KEPT = {IPTC_RESOURCE, 0x03ED, 0x040F, 0x0422, 0x0423, 0x0424, 0x0425}  # resolution, ICC, EXIF, XMP, digest
_PHOTOSHOP_OLD_PIXELS = {0x0409, 0x040C, 0x03FC}  # thumbnails
_CUT_OFF = -1
_PHOTOSHOP_NAMES = {
    _CUT_OFF: "damaged data",
    0x040A: "copyright flag",
    0x040B: "URL",
    0x0BB7: "clipping path",
    **dict.fromkeys(range(0x07D0, 0x0BB7), "paths"),
}
_APPLE_GAIN_MAP = b"http://ns.apple.com/HDRGainMap/1.0/"  # in the XMP of a further picture


def first_iptc(segments: Segments) -> bytes | None:
    """Return the first block of IPTC-IIM, as exiftool does; None where there is none."""
    return next((body for number, body in _resources(segments) if number == IPTC_RESOURCE and body), None)


def left_behind(info: dict[Any, Any], segments: Segments, data: bytes) -> tuple[str, ...]:
    """Return a sentence on each thing in a JPEG that is not carried over.

    Parameters
    ----------
    info, segments
        What Pillow found in it.
    data
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
    found += _in_photoshop(list(_resources(segments)))
    if any(name == _CONTENT_CREDENTIALS[0] and body.startswith(_CONTENT_CREDENTIALS[1]) for name, body in segments):
        found.append("The JPEG's content credentials (C2PA, JUMBF) are not carried over.")
    if others := sorted({_label(name, body) for name, body in segments if not _is_known(name, body)}):
        found.append(f"The JPEG's vendor segments are not carried over: {', '.join(others)}.")
    if info.get("comment"):
        found.append("The JPEG's comment is not carried over.")
    return tuple(found)


def _resources(segments: Segments) -> Iterator[tuple[int, bytes]]:
    """Yield (number, body) of each Photoshop resource; `_CUT_OFF` stands for the first damaged one of a segment."""
    for name, segment in segments:
        at = len(_PHOTOSHOP)
        if name != "APP13" or not segment.startswith(_PHOTOSHOP):
            continue
        while at + 12 <= len(segment) and segment[at : at + 4] == b"8BIM":
            (number,) = struct.unpack_from(">H", segment, at + 4)
            at += 6 + (segment[at + 6] // 2 + 1) * 2  # a Pascal string, padded to an even length
            length = int.from_bytes(segment[at : at + 4], "big")
            if at + 4 + length > len(segment):
                yield _CUT_OFF, b""
                break
            yield number, segment[at + 4 : at + 4 + length]
            at += 4 + length + length % 2


def _has_gain_map(info: dict[Any, Any], segments: Segments, trailer: bytes) -> bool:
    iso = any(name == "APP2" and body.startswith(_GAIN_MAP) for name, body in segments)
    return iso or describes_gain_map(info.get("xmp") or b"") or _APPLE_GAIN_MAP in trailer


def _in_photoshop(resources: list[tuple[int, bytes]]) -> Iterable[str]:
    numbers = [number for number, _ in resources]
    if numbers.count(IPTC_RESOURCE) > 1:
        yield "The JPEG's second block of IPTC is not carried over."
    lost = sorted(set(numbers) - _PHOTOSHOP_KEPT - _PHOTOSHOP_OLD_PIXELS)
    names = dict.fromkeys(_PHOTOSHOP_NAMES.get(number, "") for number in lost)
    others = sum(number not in _PHOTOSHOP_NAMES for number in lost)
    labels = [name for name in names if name] + ([f"{others} other settings"] if others else [])
    if labels:
        yield f"Photoshop's data in the JPEG is not carried over: {', '.join(labels)}."


def _is_known(name: str, body: bytes) -> bool:
    if name == "COM" or (name == _CONTENT_CREDENTIALS[0] and body.startswith(_CONTENT_CREDENTIALS[1])):
        return True
    return body.startswith(_KNOWN.get(name, ())) or not body.strip(b"\0")


def _label(name: str, body: bytes) -> str:
    start = _NAME.match(body)
    return f"{name} {start[0].decode().strip()}" if start else name

"""Photoshop's image resources, in a JPEG's APP13 segments and a TIFF's field 34377: IPTC, and what is not carried over.

Source: Adobe's Photoshop File Formats Specification (image resources).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

IPTC_RESOURCE = 0x0404  # Photoshop's number of the resource
_KEPT = {IPTC_RESOURCE, 0x03ED, 0x040F, 0x0422, 0x0423, 0x0424, 0x0425}  # resolution, ICC, EXIF, XMP, digest
_OLD_PIXELS = {0x0409, 0x040C, 0x03FC}  # thumbnails
_CUT_OFF = -1  # stands for a resource that is cut off
_NAMES = {
    _CUT_OFF: "damaged data",
    0x040A: "copyright flag",
    0x040B: "URL",
    0x0BB7: "clipping path",
    **dict.fromkeys(range(0x07D0, 0x0BB7), "paths"),
}

Resource = tuple[int, bytes]
"""(number, body)"""


def resources(block: bytes) -> Iterator[Resource]:
    """Yield the resources of a block; the number of the first damaged one, after which nothing can be read, is -1."""
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", block, at + 4)
        at += 6 + (block[at + 6] // 2 + 1) * 2  # a Pascal string, padded to an even length
        length = int.from_bytes(block[at : at + 4], "big")
        if at + 4 + length > len(block):
            yield _CUT_OFF, b""
            return
        yield number, block[at + 4 : at + 4 + length]
        at += 4 + length + length % 2


def iptc_blocks(found: Sequence[Resource]) -> list[bytes]:
    """Return the blocks of IPTC-IIM among resources, the first of which is what exiftool reads."""
    return [body for number, body in found if number == IPTC_RESOURCE and body]


def left_behind(found: Sequence[Resource], title: str) -> list[str]:
    """Return a sentence on the resources of a file, such as "JPEG", that are not carried over; none without them."""
    lost = sorted({number for number, _ in found} - _KEPT - _OLD_PIXELS)
    names = dict.fromkeys(_NAMES.get(number, "") for number in lost)
    others = sum(number not in _NAMES for number in lost)
    labels = [name for name in names if name] + ([f"{others} other settings"] if others else [])
    return [f"Photoshop's data in the {title} is not carried over: {', '.join(labels)}."] if labels else []

"""Boxes of ISO base media files (AVIF, CR3), and the properties of an AVIF's primary picture.

Sources: ISO/IEC 14496-12 (boxes, `meta`, `pitm`, `iinf`), ISO/IEC 23008-12 (`iprp`, `clap`, `auxC`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
_APPLE_GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
_EXIF_ITEM = re.compile(rb"(infe[\x02\x03]\0\0.{5,7}?)Exif", re.DOTALL)
_MONOCHROME_ALPHA = b"urn:mpeg:hevc:2015:auxid:1\0"  # an older name, which libavif accepts too


@dataclass(frozen=True)
class PrimaryPicture:
    """Properties of an AVIF's primary picture.

    Attributes
    ----------
    properties : tuple of tuple[bytes, bytes]
        (type, body) of each of its property boxes, in order.
    item_types : frozenset of bytes
        Types of all items in the file, such as b"av01" or b"tmap" (a gain map's description).
    further : bool
        Whether the file has auxiliary pictures other than alpha, such as depth or a gain map.
    gain_map : bool
        Whether it has an HDR gain map, of ISO 21496-1's or of Apple's kind.
    """

    properties: tuple[tuple[bytes, bytes], ...] = ()
    item_types: frozenset[bytes] = frozenset()
    further: bool = False
    gain_map: bool = False


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, body) of each box of an ISO file, up to the first that is damaged."""
    for kind, start, end in _places(data):
        yield kind, data[start:end]


def boxes_and_rest(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return (kind, body) of each box of an ISO file, and the bytes after the last of them."""
    places = list(_places(data))
    rest = data[places[-1][2] :] if places else data
    return [(kind, data[start:end]) for kind, start, end in places], rest


def _places(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of the body of each box between two places of a file."""
    at, stop = start, len(data) if stop is None else stop
    while at + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= stop:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = stop if size == 0 else at + size
        if end < at + head or end > stop:
            return
        yield kind, at + head, end
        at = end


def primary_picture(data: bytes) -> PrimaryPicture:
    """Return the properties of an AVIF file's primary picture; none where its boxes cannot be read."""
    meta = dict(boxes(dict(boxes(data)).get(b"meta", b"")[4:]))
    try:
        (primary,) = struct.unpack_from(">H" if meta[b"pitm"][0] == 0 else ">I", meta[b"pitm"], 4)
        containers = dict(boxes(meta[b"iprp"]))
        listed = list(boxes(containers[b"ipco"]))
        numbers = _associations(containers[b"ipma"]).get(primary, [])
        kinds = frozenset(_item_types(meta.get(b"iinf", b"")))
    except (KeyError, IndexError, struct.error):
        return PrimaryPicture()
    own = tuple(listed[number - 1] for number in numbers if 1 <= number <= len(listed))
    auxiliary = {body[4:] for kind, body in listed if kind == b"auxC"}
    gain_map = b"tmap" in kinds or any(name.startswith(_APPLE_GAIN_MAP) for name in auxiliary)
    further = any(not name.startswith((_ALPHA, _MONOCHROME_ALPHA)) for name in auxiliary)
    return PrimaryPicture(own, kinds, further, gain_map)


def without_exif(data: bytes) -> bytes:
    """Give the EXIF item of an AVIF a type that decoders pass over."""
    return _EXIF_ITEM.sub(rb"\1skip", data)


def with_readable_names(data: bytes) -> bytes:
    """Replace bytes that are not UTF-8 in the types and names of items by question marks; libheif's bindings crash."""
    out = bytearray(data)
    for kind, start, end in _places(data):
        if kind != b"meta":
            continue
        for inner, first, last in _places(data, start + 4, end):
            if inner == b"iinf" and first < last:
                for _, entry, stop in _places(data, first + (6 if data[first] == 0 else 8), last):
                    names = entry + (10 if data[entry : entry + 1] == b"\3" else 8)  # numbers are before them
                    out[names:stop] = _readable(data[names:stop])
    return bytes(out)


def _readable(names: bytes) -> bytes:
    try:
        names.decode()
    except UnicodeDecodeError:
        return bytes(letter if letter < 0x80 else ord("?") for letter in names)
    return names


def _associations(body: bytes) -> dict[int, list[int]]:
    """Return the numbers of the properties of each item, from 1, of an `ipma` box."""
    version, wide, count = body[0], body[3] & 1, struct.unpack_from(">I", body, 4)[0]
    found: dict[int, list[int]] = {}
    at = 8
    for _ in range(count):
        (item,) = struct.unpack_from(">H" if version == 0 else ">I", body, at)
        at += 2 if version == 0 else 4
        properties = struct.unpack_from(f">{body[at]}{'H' if wide else 'B'}", body, at + 1)
        at += 1 + len(properties) * (2 if wide else 1)
        found[item] = [number & (0x7FFF if wide else 0x7F) for number in properties]  # the top bit: essential
    return found


def _item_types(body: bytes) -> Iterator[bytes]:
    """Return the types of the items of an `iinf` box."""
    if body:
        for kind, entry in boxes(body[6 if body[0] == 0 else 8 :]):
            if kind == b"infe" and entry[0] >= 2:
                start = 8 if entry[0] == 2 else 10
                yield entry[start : start + 4]

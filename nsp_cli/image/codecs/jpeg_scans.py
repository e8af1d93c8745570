"""The structure of JPEG files: whether one has data for all of its pixels, and where its picture ends.

libjpeg fills what is missing with flat blocks and warns of it, which Pillow does not pass on. simplejpeg does.
"""

from __future__ import annotations

import re

import simplejpeg

_MARKER = re.compile(rb"\xff([^\x00\xff])")  # also after further FF; inside a scan FF 00 is a byte of data
_SCAN, _END = 0xDA, 0xD9
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS, _HIERARCHICAL, _JPEG_LS = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), 0xF7
_DEEP = (12, 16)  # bits
_RESTARTS = range(0xD0, 0xD8)
_ALONE = (0x01, *_RESTARTS, 0xD8)
_FIXED_PARTS = {0xE0: (b"JFIF\0", 12), 0xE2: (b"ICC_PROFILE\0", 14)}  # APP0 and APP2: label, bytes with it
_METADATA = (*range(0xE0, 0xF0), 0xFE)  # application segments, comments
_LABELS = {b"Exif\0": "EXIF", b"ICC_PROFILE\0": "ICC profile", b"ns.adobe.com/xap/": "XMP", b"Photoshop 3.0\0": "IPTC"}
_COEFFICIENTS = 64  # of a block

_DAMAGE = re.compile("premature end|bad Huffman code|found marker|([0-9]+) extraneous bytes before marker 0x(..)", re.I)
"""libjpeg's warnings of missing or wrong data; it has others, of oddities that lose nothing."""


def unsupported_kind(data: bytes) -> str | None:
    """Return the kind of a JPEG that is not supported, such as "a JPEG of 12 bits"; None for others."""
    for marker, place in _segments(data, 2, until=_SCAN):
        if marker in _FRAMES and place + 3 <= len(data):
            if marker in _LOSSLESS:
                return "a lossless JPEG"
            if marker in _HIERARCHICAL:
                return "a hierarchical JPEG"
            return f"a JPEG of {data[place + 2]} bits" if data[place + 2] in _DEEP else None
        if marker == _JPEG_LS:
            return "JPEG-LS"
    return None


def without_short_segments(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove segments of metadata that end inside their fixed part; returns the file and their names."""
    names: list[str] = []
    for marker, place in reversed(_segments(data, 2, until=_SCAN)):
        length = int.from_bytes(data[place : place + 2], "big")
        label, fixed = _FIXED_PARTS.get(marker, (b"", 0))
        if label and data[place + 2 :].startswith(label) and length - 2 < fixed:
            names.append(label.decode().strip("\0"))
            data = data[: place - 2] + data[place + length :]
    return data, tuple(sorted(names))


def without_damaged_segments(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove what a wrong length of a segment of metadata leaves; return the file and descriptions of what was removed.

    Too small a length leaves bytes that belong to no segment before the first scan, and too large a one the rest of the
    next segment. A segment after the picture that reaches beyond the end of the file hides that nothing is missing.
    Nothing is removed where a table of the picture has such a length.
    """
    whole = data
    names: list[str] = []
    last, place = _last_segment(data)
    if last in _METADATA and place + int.from_bytes(data[place : place + 2], "big") > len(data):
        data = data[: place - 2]
        names.append("a segment that reaches beyond the end")
    parts, at, before = [data[:2]], 2, _METADATA[0]
    for marker, place in _segments(data, 2, until=_SCAN):
        start = place - 2
        if data[at:start].strip(b"\xff"):  # further FF before a marker are padding
            if before not in _METADATA:
                return whole, ()
            labels = [name for label, name in _LABELS.items() if label in parts[-1] + data[at:start]]
            names.append(", ".join([f"{start - at:,} bytes between segments", *labels]))
        if marker == _SCAN:
            return b"".join([*parts, data[start:]]), tuple(names)
        before = marker
        at = place + (0 if marker in _ALONE else int.from_bytes(data[place : place + 2], "big"))
        at = max(at, place)
        if marker in _ALONE or at >= place + 2:
            parts.append(data[start:at])
    return data, tuple(names)


def end_of_picture(data: bytes) -> int:
    """Return the place after the end marker of a JPEG's own picture, which further pictures or a video may follow."""
    marker, place = _last_segment(data)
    return place if marker == _END else len(data)


def with_end_marker(data: bytes) -> bytes:
    """Add the end marker to a JPEG that ends without it, or after its first byte."""
    return data.removesuffix(b"\xff") + bytes([0xFF, _END])


def has_every_block(data: bytes, *, strict: bool = False) -> bool:
    """Return whether a JPEG has data for every block; True where that cannot be found out.

    Not all wrong data are found: a decoder that is out of step after a gap may by chance find as many blocks.

    Parameters
    ----------
    data : bytes
        The file, which libjpeg decodes.
    strict : bool
        Whether to check also that all scans are there, and to return False where that cannot be found out; for files
        whose end marker is missing.
    """
    head = dict(_segments(data, 2, until=_SCAN))
    kind = next((marker for marker in head if marker in _FRAMES), 0)
    if kind not in _HUFFMAN:
        return not strict  # arithmetic coding may leave out zeros at the end
    if strict and not _has_every_scan(data, head[kind]):
        return False
    has_end = _last_segment(data)[0] == _END
    if not has_end:
        data = with_end_marker(data)
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, strict=True)  # scaled down: memory for 1/64
    except ValueError as error:
        damage = _DAMAGE.search(str(error))
        return not strict and (damage is None or (has_end and _is_padding(data, damage)))
    return True


def _is_padding(data: bytes, damage: re.Match[str]) -> bool:
    """Return whether a warning is of zeros between the last block and the end marker, which lose nothing."""
    count, marker = damage.groups()
    end = end_of_picture(data) - 2
    return marker is not None and int(marker, 16) == _END and not any(data[end - int(count) : end])


def _has_every_scan(data: bytes, frame: int) -> bool:
    """Return whether all coefficients of all components are coded to their last bit; `frame` is its header's place."""
    expected = {data[frame + 8 + 3 * index] for index in range(data[frame + 7])}
    coded: dict[int, set[int]] = {component: set() for component in expected}
    for marker, place in _segments(data, 2, until=_END):
        if marker == _SCAN:
            count = data[place + 2]
            first, last, bits = data[place + 3 + 2 * count : place + 6 + 2 * count]
            if bits & 15 == 0:
                for component in data[place + 3 : place + 3 + 2 * count : 2]:
                    coded.setdefault(component, set()).update(range(first, last + 1))
    return all(coded[component] >= set(range(_COEFFICIENTS)) for component in expected)


def _last_segment(data: bytes) -> tuple[int, int]:
    return (_segments(data, 2, until=_END) or [(0, len(data))])[-1]


def _segments(data: bytes, at: int, until: int) -> list[tuple[int, int]]:
    """List (marker, place of its length) of the segments from `at` to the first `until`, which is the last of them."""
    found: list[tuple[int, int]] = []
    while (match := _MARKER.search(data, at)) is not None:
        marker, at = match[1][0], match.end()
        found.append((marker, at))
        if marker in (until, _END):
            break
        at += 0 if marker in _ALONE else int.from_bytes(data[at : at + 2], "big")
    return found

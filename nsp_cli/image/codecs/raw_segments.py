"""Find out whether a RAW file is cut off or pruned: LibRaw fills what is missing with black, a row or other bytes.

Sources: TIFF 6.0 (strips, tiles) and the DNG specification for TIFF-based files, ISO/IEC 14496-12 (boxes) for CR3, for
RAF the layout that LibRaw and exiftool document (offset and length of the sensor's data at byte 100), and for RW2
exiftool's names of Panasonic's fields and the packets of pixels that LibRaw and rawspeed document.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_kinds import SENSOR_COLOURS, is_reduced
from nsp_cli.image.metadata.ifd import Directory, Field, Tree
from nsp_cli.image.metadata.raw_exif import OLYMPUS, as_tiff

_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
_SEGMENTS = ((273, 279), (324, 325))  # strips, tiles: (offsets, byte counts)
_RAF_START, _RAF_CFA = b"FUJIFILMCCD-RAW", 100
_PANASONIC = b"IIU\0"
_WIDTH, _HEIGHT, _BITS, _FORMAT, _DATA = 2, 3, 10, 45, 280  # Panasonic's own fields of a directory
_PACKET, _PACKET_PIXELS = 16, 14  # bytes, and the most pixels in them of any format
_MOST_DIRECTORIES = 64  # damaged files can point in circles


def check_whole(data: bytes) -> None:
    """Raise `InputError` for a RAW file that is cut off, or without the sensor's data; `data` may be mapped memory."""
    if missing := bytes_missing(data):
        raise InputError(f"the RAW file is cut off: {missing:,} bytes are missing")
    if is_pruned(data):
        raise InputError("the RAW file is without the sensor's data: only its preview is left")


def bytes_missing(data: bytes) -> int:
    """Return how many bytes the sensor's data reach beyond the end of a RAW file; 0 where it is whole or unknown.

    Parameters
    ----------
    data : bytes
        A whole RAW file. Formats that are neither TIFF-based nor CR3 nor RAF have no check, and give 0. Panasonic's RW2
        have no byte counts of the compressed data: a small cut of some is not found.
    """
    if data[: len(_RAF_START)] == _RAF_START:
        ends = [sum(struct.unpack_from(">II", data, _RAF_CFA))] if len(data) >= _RAF_CFA + 8 else [_RAF_CFA + 8]
    elif data[4:8] == b"ftyp":
        ends = list(_box_ends(data))
    elif data[:4] == _PANASONIC:
        ends = [_panasonic_end(data)]
    else:
        ends = list(_segment_ends(as_tiff(data) if data[:4] in OLYMPUS else data))
    return max([end - len(data) for end in ends] + [0])


def is_pruned(data: bytes) -> bool:
    """Return whether a TIFF-based RAW file has the sensor's directory without its data, of which a preview is left.

    Programs that send photos to phones leave the offsets of the strips or tiles zero, or leave them out.
    """
    try:
        tree = Tree(data)
        pages = [page for page in directories(tree) if not is_reduced(tree, page)]
    except ValueError:
        return False
    for page in pages:
        if tree.number(page.fields.get(_PHOTOMETRIC)) not in SENSOR_COLOURS:
            continue
        places = [place for tag, _ in _SEGMENTS for place in _numbers(tree, page.fields.get(tag))]
        if 0 in places or (not places and _DNG_VERSION in tree.directory(tree.first).fields):
            return True
    return False


def _box_ends(data: bytes) -> Iterator[int]:
    """Yield the end of each box at the top level of an ISO base media file."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # up to the end of the file
            return
        if size < 8:
            return
        at += size
        yield at


def _panasonic_end(data: bytes) -> int:
    """Return a place that the sensor's data of an RW2 at least reach; 0 where it is unknown.

    Formats 4 to 7 have packets of 16 bytes: of 14 pixels at most, in format 5 of as many as their bits leave room for.
    """
    try:
        tree = Tree(as_tiff(data))
        fields = tree.directory(tree.first).fields
    except ValueError:
        return 0
    width, height, bits, kind, start = (
        tree.number(fields.get(tag)) or 0 for tag in (_WIDTH, _HEIGHT, _BITS, _FORMAT, _DATA)
    )
    if kind not in (4, 5, 6, 7) or not start:
        return 0
    pixels = 8 * _PACKET // bits if kind == 5 and bits in (12, 14) else _PACKET_PIXELS
    return start + width * height // pixels * _PACKET


def _segment_ends(data: bytes) -> Iterator[int]:
    """Yield the end of each strip and tile of all pictures in a TIFF-based file but the reduced ones."""
    try:
        tree = Tree(data)
    except ValueError:
        return
    for page in directories(tree):
        if is_reduced(tree, page):
            continue
        for offsets, counts in _SEGMENTS:
            places, lengths = (_numbers(tree, page.fields.get(tag)) for tag in (offsets, counts))
            yield from (place + length for place, length in zip(places, lengths, strict=False))


def directories(tree: Tree) -> Iterator[Directory]:
    """Yield all directories of a TIFF-based file that can be read, those of SubIFDs too."""
    waiting, seen = [tree.first], set[int]()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        offset = waiting.pop()
        if not offset or offset in seen:
            continue
        seen.add(offset)
        try:
            page = tree.directory(offset)
        except ValueError:
            continue
        yield page
        waiting += [page.next, *_numbers(tree, page.fields.get(_SUB_IFDS))]


def _numbers(tree: Tree, field: Field | None) -> tuple[int, ...]:
    """Return all values of a field of unsigned integers; none where it is missing or of another type."""
    code = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(field.kind) if field else None
    if field is None or code is None:
        return ()
    return struct.unpack(f"{tree.order}{field.count}{code}", tree.raw(field))

"""The camera's EXIF out of a RAW file: from its own directories, or else from its preview."""

from __future__ import annotations

import struct

from nsp_cli.image.metadata.boxes import boxes
from nsp_cli.image.metadata.exif import (
    EXIF_POINTER,
    GPS_POINTER,
    IPTC_TAG,
    XMP_TAG,
    copied_entries,
    exif_from_tiff,
    parse_exif,
)
from nsp_cli.image.metadata.ifd import LONG, Directory, Entry, Tree, append_directory

# What describes the photo in a RAW file's first directory; all else there describes the sensor.
_DESCRIPTIVE = frozenset(
    {*range(269, 273), 274, 282, 283, 296, 305, 306, 315, 316, 18246, 18249, 33432, 33434, 33437, 34850, 34855}
    | {36867, 36868, *range(36880, 36883), *range(37377, 37387), *range(40091, 40096)}
)
OLYMPUS = (b"IIRO", b"IIRS", b"MMOR")
_CANON_BOXES = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_DEVELOPMENT = b"crs:"
_CRW = b"HEAPCCDR"
_CRW_FIELDS = {36867: "date of the photo", 42033: "serial number", 37386: "focal length", 42036: "lens"}


def raw_exif(data: bytes, preview: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """Extract a RAW file's EXIF as a separate block (None if there is none), and warnings on missing parts.

    Parameters
    ----------
    data : bytes
        The RAW file.
    preview : bytes or None
        The EXIF of its preview, which Panasonic and Fujifilm write in full there alone.
    """
    try:
        if data[4:12] == b"ftypcrx ":
            return _from_cr3(data)
        if data[:4] in (b"II*\0", b"MM\0*", *OLYMPUS):
            exif, warnings = exif_from_tiff(Tree(as_tiff(data)), _DESCRIPTIVE)
            if exif is not None:
                return exif, warnings
        if preview is None and data[:4] == b"IIU\0":
            return exif_from_tiff(Tree(as_tiff(data)), _DESCRIPTIVE)
    except ValueError:
        pass
    if preview is None:
        return None, ("The camera's EXIF was not found in the RAW file: the result has none.",)
    return preview, _missing_in_crw(preview) if data[6:14] == _CRW else ()


def _missing_in_crw(preview: bytes) -> tuple[str, ...]:
    """Name the data that Canon's oldest format stores in its own form, and its preview does not repeat."""
    try:
        tree, first = parse_exif(preview)
    except ValueError:
        return ()
    sub = tree.child(first, EXIF_POINTER)
    found = first.fields.keys() | (sub.fields.keys() if sub else set())
    lost = [name for tag, name in _CRW_FIELDS.items() if tag not in found]
    return (f"The CRW's own metadata is not carried over: no {', no '.join(lost)}.",) if lost else ()


def raw_xmp(data: bytes, *, developed: bool = True) -> tuple[bytes | None, tuple[str, ...]]:
    """Extract the XMP, with ratings and captions, of a RAW file in TIFF form; and a warning if it is left out.

    `developed` leaves out XMP that holds development settings.
    """
    try:
        tree = Tree(data)
        field = tree.directory(tree.first).fields.get(XMP_TAG)
    except ValueError:
        return None, ()
    xmp = tree.raw(field) or None if field else None
    if developed and xmp is not None and _DEVELOPMENT in xmp:
        # A program would develop the result a second time by them.
        return None, ("The RAW file's XMP holds development settings and is not carried over.",)
    return xmp, ()


def raw_iptc(data: bytes) -> bytes | None:
    """Extract the IPTC, which archives' programs write into RAW files in TIFF form."""
    try:
        tree = Tree(data)
        field = tree.directory(tree.first).fields.get(IPTC_TAG)
    except ValueError:
        return None
    return tree.raw(field) or None if field else None


def as_tiff(data: bytes) -> bytes:
    """Set the header of a TIFF, whose structure Olympus and Panasonic use with other magic numbers."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return data
    return (b"II*\0" if data[:2] == b"II" else b"MM\0*") + data[4:]


def _from_cr3(data: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Build EXIF, and warnings, of a CR3, which has one TIFF for each directory.

    CMT1 is the first directory, CMT2 EXIF's, CMT3 the maker note, CMT4 GPS.

    Raises ValueError where the boxes are damaged.
    """
    moov = next((body for kind, body in boxes(data) if kind == b"moov"), b"")
    canon = next((body[16:] for kind, body in boxes(moov) if kind == b"uuid" and body[:16] == _CANON_BOXES), b"")
    found = {kind: _first_directory(body) for kind, body in boxes(canon) if kind in (b"CMT1", b"CMT2", b"CMT4")}
    if b"CMT1" not in found:
        raise ValueError("no CMT1 box")
    order = found[b"CMT1"][0].order
    out = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0))
    tree, first = found[b"CMT1"]
    entries: list[Entry] = copied_entries(tree, first, _DESCRIPTIVE)
    for kind, pointer in ((b"CMT2", EXIF_POINTER), (b"CMT4", GPS_POINTER)):
        if kind in found and found[kind][0].order == order:
            place = append_directory(out, order, copied_entries(*found[kind]))
            entries.append((pointer, LONG, 1, struct.pack(order + "I", place)))
    struct.pack_into(order + "I", out, 4, append_directory(out, order, entries))
    return bytes(out), ("The maker note of the CR3 is not carried over.",)


def _first_directory(body: bytes) -> tuple[Tree, Directory]:
    tree = Tree(body)
    return tree, tree.directory(tree.first)

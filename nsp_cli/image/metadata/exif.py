"""EXIF blocks: kept true after a change of pixels, and moved in and out of TIFF files.

An EXIF block is patched in place wherever that is possible: maker notes often hold offsets counted from the block's
start, so moving anything may break what a reader finds in them.
"""

from __future__ import annotations

import struct
from collections.abc import Container

from nsp_cli.image.metadata.ifd import LONG, Directory, Entry, Field, Tree, append_directory

EXIF_POINTER, GPS_POINTER, INTEROP_POINTER, MAKER_NOTE, ORIENTATION = 0x8769, 0x8825, 0xA005, 0x927C, 0x0112
XMP_TAG, IPTC_TAG, ICC_TAG = 700, 33723, 34675
_OWN_FIELDS = {
    ICC_TAG: "colour profile",
    XMP_TAG: "XMP",
    IPTC_TAG: "IPTC",
    EXIF_POINTER: "EXIF",
    GPS_POINTER: "GPS",
}
PHOTOSHOP_TAG, _PHOTOSHOP_LAYERS, _SUB_IFDS = 34377, 37724, 330
_COLOUR_SPACE, _MODEL, _ISO = 0xA001, 0x0110, 0x8827
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 513, 514
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_RATIONAL = 5  # type of a field: two 32-bit integers

# Fields of a TIFF's first directory that describe how its pixels are stored, or that `Metadata` carries by itself.
STORAGE_TAGS = frozenset(
    {*range(254, 267), 273, *range(277, 282), 284, *range(288, 294), 317, *range(320, 326), _SUB_IFDS}
    | {*range(332, 348), *range(512, 522), 529, 530, 532, XMP_TAG, IPTC_TAG, ICC_TAG, PHOTOSHOP_TAG, _PHOTOSHOP_LAYERS}
    | {32995, 32996, 32997, 32998, EXIF_POINTER, GPS_POINTER, INTEROP_POINTER}
)

_MAKER_NOTE_KEEPS_PLACE_BELOW = 16_384
"""A note further into a TIFF is moved: bytes of padding before it would fill the 64 kB that a JPEG has for EXIF."""


_SELF_CONTAINED = (b"Nikon\0\2", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"PENTAX \0", b"Apple iOS\0")
"""First bytes of maker notes whose offsets count from their own start, so that they may be moved."""


def parse_exif(exif: bytes) -> tuple[Tree, Directory]:
    """Parse an EXIF block and its first directory. Raises ValueError if it is damaged."""
    tree = Tree(exif)
    if tree.big:
        raise ValueError("EXIF has no 64-bit form")
    return tree, tree.directory(tree.first)


def _parsed(exif: bytes | None) -> tuple[Tree, Directory] | None:
    """Parse EXIF as `parse_exif` does; None where there is none, or it is damaged."""
    try:
        return None if exif is None else parse_exif(exif)
    except ValueError:
        return None


def update_exif(exif: bytes | None, size: tuple[int, int]) -> bytes | None:
    """Update EXIF for a picture of `size` (height, width) with new pixels.

    Pixel sizes, where they are given, are set; the thumbnail, which shows the old pixels, is unlinked (and cut off
    where it is the end of the block). All other bytes stay, and stay where they are. A block that cannot be parsed is
    returned as it is.
    """
    parsed = _parsed(exif)
    if exif is None or parsed is None:
        return exif
    tree, first = parsed
    out = bytearray(exif)
    sub = tree.child(first, EXIF_POINTER)
    interop = tree.child(sub, INTEROP_POINTER) if sub else None
    height, width = size
    for directory, tags in ((first, (256, 257)), (sub, (0xA002, 0xA003)), (interop, (0x1001, 0x1002))):
        for tag, value in zip(tags, (width, height), strict=True):
            if directory and tag in directory.fields:
                _set_integer(out, tree, directory.fields[tag], value)
    if first.next:
        out[first.next_at : first.next_at + 4] = b"\0\0\0\0"
        kept = [item for item in (first, sub, interop, tree.child(first, GPS_POINTER)) if item]
        _cut_thumbnail(out, tree, first.next, kept)
    return bytes(out)


def upright_exif(exif: bytes | None) -> bytes | None:
    """Set the orientation of EXIF, where it has one, to upright, for a picture whose pixels were rotated."""
    return _with_ones(exif, with_colour_space=False)


def _set_integer(out: bytearray, tree: Tree, field: Field, value: int) -> None:
    """Write a single number over a field, as a LONG where it has more than 16 bits; fields of other types stay."""
    if field.kind not in (3, LONG) or field.count != 1:
        return
    kind = LONG if value > 0xFFFF else field.kind
    packed = struct.pack(tree.order + ("I" if kind == LONG else "Hxx"), value)
    out[field.entry + 2 : field.entry + 12] = struct.pack(tree.order + "HI", kind, 1) + packed


def _cut_thumbnail(out: bytearray, tree: Tree, offset: int, kept: list[Directory]) -> None:
    """Cut the thumbnail off that the directory at `offset` points to, if nothing of the `kept` ones lies behind it."""
    try:
        fields = tree.directory(offset).fields
    except ValueError:
        return
    start, length = tree.number(fields.get(_THUMBNAIL_OFFSET)), tree.number(fields.get(_THUMBNAIL_LENGTH))
    if start is None or length is None or not 8 < start <= len(out) <= start + length + 1:
        return
    ends = [field.start + field.length for item in kept for field in item.fields.values()]
    if max(ends + [item.next_at + 4 for item in kept]) <= start:
        del out[start:]


def orientation_only(exif: bytes | None) -> bytes | None:
    """Build the smallest EXIF block with the same orientation; None for an upright picture."""
    parsed = _parsed(exif)
    if parsed is None:
        return None
    tree, first = parsed
    value = tree.number(first.fields.get(ORIENTATION))
    if value is None or not 2 <= value <= 8:
        return None
    out = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    append_directory(out, "<", [(ORIENTATION, 3, 1, struct.pack("<H", value))])
    return bytes(out)


def exif_dpi(exif: bytes | None) -> tuple[float, float] | None:
    """Return (x, y) dots per inch of EXIF; None where it has none, or no unit."""
    parsed = _parsed(exif)
    if parsed is None:
        return None
    tree, first = parsed
    scale = {2: 1.0, 3: 2.54}.get(tree.number(first.fields.get(_RESOLUTION_UNIT)) or 2, 0.0)  # inches, centimetres
    x, y = (_rational(tree, first.fields.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    return plausible_dpi(x * scale, y * scale)


def plausible_dpi(x: float, y: float) -> tuple[float, float] | None:
    """Round dots per inch to the hundredth; None where no container could hold them."""
    return (round(x, 2), round(y, 2)) if min(x, y) >= 1 and max(x, y) <= 65_535 else None


def _rational(tree: Tree, field: Field | None) -> float:
    """Return the value of a rational field; 0 where there is none."""
    if field is None or field.kind != _RATIONAL or field.count < 1:
        return 0.0
    top, bottom = struct.unpack(tree.order + "II", tree.raw(field)[:8])
    return top / bottom if bottom else 0.0


def mark_developed(exif: bytes | None) -> bytes | None:
    """Set orientation and colour space of EXIF, where it has them, to upright and sRGB, for a developed RAW photo."""
    return _with_ones(exif, with_colour_space=True)


def _with_ones(exif: bytes | None, *, with_colour_space: bool) -> bytes | None:
    """Set the orientation, and perhaps the colour space, to 1; damaged EXIF is returned unchanged."""
    parsed = _parsed(exif)
    if exif is None or parsed is None:
        return exif
    tree, first = parsed
    out = bytearray(exif)
    sub = tree.child(first, EXIF_POINTER) if with_colour_space else None
    for directory, tag in ((first, ORIENTATION), (sub, _COLOUR_SPACE)):
        if directory and tag in directory.fields:
            _set_integer(out, tree, directory.fields[tag], 1)
    return bytes(out)


def exif_from_tiff(tree: Tree, only: Container[int] | None = None) -> tuple[bytes | None, tuple[str, ...]]:
    """Collect the descriptive fields of a TIFF file into an EXIF block of its own.

    `only` limits the first directory's fields, and its other pictures are then nothing to warn of, as in a RAW file.
    Every value keeps its type and its bytes. The maker note keeps its place too where that is near the file's start,
    as in the files that this package writes. Returns the block (None if there is nothing to keep) and warnings.
    """
    first = tree.directory(tree.first)
    sub, gps = tree.child(first, EXIF_POINTER), tree.child(first, GPS_POINTER)
    interop = tree.child(sub, INTEROP_POINTER) if sub else None
    entries = copied_entries(tree, first, only)
    warnings = _damaged(first, {EXIF_POINTER: sub, GPS_POINTER: gps})
    if only is None:
        warnings += _left_behind(first, [item for item in (first, sub, gps, interop) if item])
    if not entries and sub is None and gps is None:
        return None, tuple(warnings)
    out = bytearray(struct.pack(tree.order + "2sHI", b"II" if tree.order == "<" else b"MM", 42, 0))
    if sub:
        sub_entries, moved = _place_maker_note(out, tree, sub)
        pointer = [_pointer(out, tree, INTEROP_POINTER, copied_entries(tree, interop))] if interop else []
        entries.append(_pointer(out, tree, EXIF_POINTER, sub_entries + pointer))
        if moved:
            warnings.append("The maker note was moved, so offsets inside it may no longer hold.")
    if gps:
        entries.append(_pointer(out, tree, GPS_POINTER, copied_entries(tree, gps)))
    struct.pack_into(tree.order + "I", out, 4, append_directory(out, tree.order, entries))
    return bytes(out), tuple(warnings)


def copied_entries(tree: Tree, directory: Directory, only: Container[int] | None = None) -> list[Entry]:
    """List the entries of a directory that describe the photo, of all tags or of those in `only`, for writing."""
    kept = (field for field in directory.fields.values() if field.tag not in STORAGE_TAGS and field.kind < 16)
    if only is not None:
        kept = (field for field in kept if field.tag in only)
    return [(field.tag, field.kind, field.count, tree.raw(field)) for field in kept]


def _pointer(out: bytearray, tree: Tree, tag: int, entries: list[Entry]) -> Entry:
    return tag, LONG, 1, append_directory(out, tree.order, entries)


def _place_maker_note(out: bytearray, tree: Tree, sub: Directory) -> tuple[list[Entry], bool]:
    """Put the maker note at its offset in `out`; return the EXIF directory's entries, and whether the note moved."""
    entries = copied_entries(tree, sub)
    note = sub.fields.get(MAKER_NOTE)
    if note is None or note.length <= 4:
        return entries, False
    if not len(out) <= note.start <= _MAKER_NOTE_KEEPS_PLACE_BELOW:
        return entries, not tree.raw(note).startswith(_SELF_CONTAINED)
    out += bytes(note.start - len(out)) + tree.raw(note)
    placed = (note.tag, note.kind, note.count, note.start)
    return [placed if entry[0] == MAKER_NOTE else entry for entry in entries], False


def _damaged(first: Directory, children: dict[int, Directory | None]) -> list[str]:
    """Return sentences on damaged fields: those that `Metadata` carries separately, and a directory's `children`."""
    tags = {*first.damaged, *(tag for tag, child in children.items() if child is None and tag in first.fields)}
    names = [name for tag, name in _OWN_FIELDS.items() if tag in tags]
    warnings = [f"The TIFF has damaged metadata, which is not carried over: {', '.join(names)}."] if names else []
    if ICC_TAG in tags:
        warnings.append("Without the TIFF's colour profile, which is damaged, the photo is taken for sRGB.")
    return warnings


def _left_behind(first: Directory, directories: list[Directory]) -> list[str]:
    """Return sentences on the contents of a TIFF that its EXIF block does not hold."""
    warnings: list[str] = []
    if _SUB_IFDS in first.fields:
        warnings.append("The smaller pictures inside the TIFF (SubIFDs) are not carried over.")
    if _PHOTOSHOP_LAYERS in first.fields:
        warnings.append("Photoshop's layers in the TIFF are not carried over.")
    lost = [tag for item in directories for tag in item.damaged]
    lost += [field.tag for item in directories for field in item.fields.values() if field.kind >= 16]
    lost = sorted(set(lost) - STORAGE_TAGS)
    if lost:
        warnings.append(f"The damaged TIFF fields {', '.join(map(str, lost))} are not carried over.")
    return warnings


def camera_and_iso(exif: bytes | None) -> tuple[str, int | None]:
    """Return the camera's model, empty if it is unknown, and the ISO of a photo."""
    parsed = _parsed(exif)
    if parsed is None:
        return "", None
    tree, first = parsed
    model, sub = first.fields.get(_MODEL), tree.child(first, EXIF_POINTER)
    name = tree.raw(model).split(b"\0")[0].decode("utf-8", "replace").strip() if model is not None else ""
    return name, tree.number(sub.fields.get(_ISO)) if sub is not None else None

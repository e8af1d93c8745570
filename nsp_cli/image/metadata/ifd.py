"""The directory structure that TIFF and EXIF share: fields found as raw bytes at their places, and written anew.

Values stay as the bytes of the file, so that types, rounding and odd encodings survive a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

LONG = 4  # TIFF's number of the type uint32
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I"}
_RATIONALS = (5, 10)


@dataclass(frozen=True)
class Field:
    """One field: `entry` is where its directory entry starts, `start` and `length` where its value lies."""

    tag: int
    kind: int
    count: int
    entry: int
    start: int
    length: int


@dataclass(frozen=True)
class Directory:
    """Fields by tag; `next` is the following directory's offset (0: none), written at `next_at`.

    `damaged` names the tags whose type is unknown or whose value lies outside the file.
    """

    fields: dict[int, Field]
    next: int
    next_at: int
    damaged: tuple[int, ...]


class Tree:
    """A view on the bytes of a TIFF file, or of an EXIF block, which is built the same way.

    Raises ValueError where the bytes are not such a structure.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = data
        head = bytes(data[:4])
        if head not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise ValueError("no TIFF header")
        self.order = "<" if head[:1] == b"I" else ">"
        self.big = b"+" in head
        self.first = self._unpack("Q" if self.big else "I", 8 if self.big else 4)

    def _unpack(self, code: str, at: int) -> int:
        try:
            return struct.unpack_from(self.order + code, self.data, at)[0]
        except (struct.error, OverflowError) as error:
            raise ValueError(f"nothing at byte {at:,} of {len(self.data):,}") from error

    def directory(self, offset: int) -> Directory:
        """Parse the directory at `offset`. Raises ValueError if it is damaged."""
        head, step, word = (8, 20, "Q") if self.big else (2, 12, "I")
        count = self._unpack("Q" if self.big else "H", offset)
        next_at = offset + head + count * step
        following = self._unpack(word, next_at)
        fields: dict[int, Field] = {}
        damaged: list[int] = []
        for entry in range(offset + head, next_at, step):
            field = self._field(entry)
            if field.kind in _SIZES and field.start + field.length <= len(self.data):
                fields.setdefault(field.tag, field)
            else:
                damaged.append(field.tag)
        return Directory(fields, following, next_at, tuple(damaged))

    def _field(self, entry: int) -> Field:
        tag, kind = self._unpack("H", entry), self._unpack("H", entry + 2)
        word, inline = ("Q", 8) if self.big else ("I", 4)
        count = self._unpack(word, entry + 4)
        value_at = entry + 4 + inline
        length = count * _SIZES.get(kind, 1)
        start = value_at if length <= inline else self._unpack(word, value_at)
        return Field(tag, kind, count, entry, start, length)

    def raw(self, field: Field) -> bytes:
        """Return the bytes of a field's values."""
        return bytes(self.data[field.start : field.start + field.length])

    def number(self, field: Field | None) -> int | None:
        """Return the first value of an integer field, or None."""
        if field is None or field.kind not in _INTEGERS or field.count < 1:
            return None
        return self._unpack(_INTEGERS[field.kind], field.start)

    def values(self, field: Field) -> tuple[float, ...]:
        """Return all values of a field of a 32-bit file; of a rational each is a numerator and a denominator.

        Raises ValueError for a type that only 64-bit files have.
        """
        code = _CODES.get(field.kind)
        if code is None:
            raise ValueError(f"no field type {field.kind}")
        raw = self.raw(field)
        return struct.unpack(f"{self.order}{len(raw) // struct.calcsize(f'={code}')}{code}", raw)

    def child(self, parent: Directory, tag: int) -> Directory | None:
        """Parse the directory of a pointer field; None if it is missing or damaged."""
        offset = self.number(parent.fields.get(tag))
        try:
            return None if offset is None else self.directory(offset)
        except ValueError:
            return None


Entry = tuple[int, int, int, bytes | int]
"""(tag, type, count, value) of a field to be written; an int is the offset of a value that is already in place."""


def make_entry(order: str, tag: int, kind: int, values: Sequence[float]) -> Entry:
    """Return a field of the values that `Tree.values` gives; bytes are values too, of the types for bytes and text."""
    count = len(values) // 2 if kind in _RATIONALS else len(values)
    return tag, kind, count, struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)


def append_directory(out: bytearray, order: str, entries: list[Entry]) -> int:
    """Append values and then a directory of them; returns the directory's offset, which is even as TIFF requires."""
    packed: list[bytes] = []
    for tag, kind, count, value in sorted(entries, key=lambda entry: entry[0]):
        if isinstance(value, int):
            slot = struct.pack(order + "I", value)
        elif len(value) <= 4:
            slot = value.ljust(4, b"\0")
        else:
            out += b"\0" * (len(out) % 2)
            slot = struct.pack(order + "I", len(out))
            out += value
        packed.append(struct.pack(order + "HHI", tag, kind, count) + slot)
    return append_packed(out, order, packed)


def append_packed(out: bytearray, order: str, packed: list[bytes]) -> int:
    """Append a directory of 12-byte entries that are already sorted; returns its offset."""
    out += b"\0" * (len(out) % 2)
    offset = len(out)
    out += struct.pack(order + "H", len(packed)) + b"".join(packed) + b"\0\0\0\0"
    return offset

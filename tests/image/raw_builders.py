"""A small RAW file: a Bayer DNG of a camera whose filters are sRGB's primaries, so that its colours are known."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from image_builders import build_exif

from nsp_cli.image.metadata.ifd import Tree, append_directory, append_packed

BLACK, WHITE = 512, 16_383
NEUTRAL = (0.5, 1.0, 0.625)
"""What the camera sees of a white thing in the light of the shot; its own daylight is (1, 1, 1)."""
XYZ_TO_SRGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)


RGGB = ((0, 1), (1, 2))


def mosaic(
    linear: np.ndarray, neutral: Sequence[float] = NEUTRAL, pattern: Sequence[Sequence[int]] = RGGB
) -> np.ndarray:
    """(H, W, 3) linear sRGB in [0, 1] to (H, W) uint16 as a sensor of that pattern sees it under that light."""
    seen = BLACK + np.clip(linear * np.array(neutral), 0, 1) * (WHITE - BLACK)
    rows, columns = np.indices(linear.shape[:2])
    period = len(pattern)
    colour = np.array(pattern)[rows % period, columns % period]
    return np.rint(np.take_along_axis(seen, colour[..., None], 2)[..., 0]).astype(np.uint16)


def pattern_tags(pattern: Sequence[Sequence[int]]) -> dict[int, tuple[int, int, bytes]]:
    """The two fields that describe a filter pattern, for `build_dng`."""
    colours = bytes(colour for row in pattern for colour in row)
    period = len(pattern)
    return {33421: (3, 2, struct.pack("<2H", period, period)), 33422: (1, len(colours), colours)}


def without_dng_tags(dng: bytes) -> bytes:
    """The same file as a camera writes it that is no DNG: LibRaw takes its colours from its own table."""
    out = bytearray(dng)
    (start,) = struct.unpack_from("<I", out, 4)
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", out, start)[0], 12):
        if struct.unpack_from("<H", out, entry)[0] in (50706, 50707, 50708, 50721, 50728, 50778):
            struct.pack_into("<H", out, entry, 65000)
    return bytes(out)


def behind_a_preview(dng: bytes) -> bytes:
    """The same DNG as most cameras lay it out: the first directory is of a small preview, the sensor's is below it."""
    out = bytearray(dng)
    (sensor,) = struct.unpack_from("<I", out, 4)
    tree = Tree(dng)
    fields = tree.directory(sensor).fields
    kept = [(tag, fields[tag].kind, fields[tag].count, tree.raw(fields[tag])) for tag in (50706, 50708, 50721)]
    shorts = {256: 16, 257: 12, 258: 8, 259: 1, 262: 1, 277: 1, 278: 12}
    pixels = [(273, 4, 1, struct.pack("<I", len(out))), (279, 4, 1, struct.pack("<I", 16 * 12))]
    out += bytes(16 * 12)
    entries = [(tag, 3, 1, struct.pack("<H", value)) for tag, value in shorts.items()]
    subs = [(254, 4, 1, struct.pack("<I", 1)), (330, 4, 1, struct.pack("<I", sensor))]
    struct.pack_into("<I", out, 4, append_directory(out, "<", [*kept, *pixels, *entries, *subs]))
    return bytes(out)


def build_dng(
    raw: np.ndarray,
    *,
    orientation: int = 1,
    neutral: Sequence[float] | None = NEUTRAL,
    exif: bytes | None = None,
    extra: dict[int, tuple[int, int, bytes]] | None = None,
    compressed: bytes | None = None,
) -> bytes:
    """A DNG of (H, W) uint16 RGGB values, with the EXIF of `build_exif` unless told otherwise; b"" leaves it out.

    `compressed` is stored in place of the values, as lossless JPEG.
    """
    block = build_exif("<") if exif is None else exif or b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    tree = Tree(block)
    out = bytearray(block.ljust(len(block) + len(block) % 2, b"\0"))
    packed = {
        tag: bytes(out[field.entry : field.entry + 12]) for tag, field in tree.directory(tree.first).fields.items()
    }

    def add(tag: int, kind: int, count: int, value: bytes) -> None:
        place = value.ljust(4, b"\0")
        if len(value) > 4:
            place = struct.pack("<I", len(out))
            out.extend(value + bytes(len(value) % 2))
        packed[tag] = struct.pack("<HHI", tag, kind, count) + place

    def longs(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}I", *values)

    height, width = raw.shape
    pixels = raw.astype("<u2").tobytes() if compressed is None else compressed
    for tag, value in ((254, 0), (256, width), (257, height), (277, 1), (278, height), (279, len(pixels))):
        add(tag, 4, 1, longs(value))
    add(259, 4, 1, longs(1 if compressed is None else 7))
    for tag, value in ((258, 16), (262, 32803), (274, orientation), (50714, BLACK), (50717, WHITE), (50778, 21)):
        add(tag, 3, 1, struct.pack("<H", value))
    add(33421, 3, 2, struct.pack("<2H", 2, 2))
    add(33422, 1, 4, b"\0\1\1\2")
    add(50706, 1, 4, b"\1\4\0\0")
    add(50707, 1, 4, b"\1\1\0\0")
    add(50708, 2, 9, b"Test Cam\0")
    matrix = [round(value * 10_000) for row in XYZ_TO_SRGB for value in row]
    add(50721, 10, 9, struct.pack("<18i", *(part for value in matrix for part in (value, 10_000))))
    if neutral is not None:
        add(50728, 5, 3, longs(*(part for value in neutral for part in (round(value * 10_000), 10_000))))
    for tag, (kind, count, value) in (extra or {}).items():
        add(tag, kind, count, value)
    add(273, 4, 1, longs(len(out)))
    out += pixels
    struct.pack_into("<I", out, 4, append_packed(out, "<", [packed[tag] for tag in sorted(packed)]))
    return bytes(out)


def lossless_jpeg(raw: np.ndarray) -> bytes:
    """(H, W) uint16 below 2**14 as lossless JPEG of one component (ITU-T T.81, process 14, predictor 1)."""
    height, width = raw.shape
    bits: list[str] = []
    values = raw.astype(int).tolist()
    for y, row in enumerate(values):
        before = values[y - 1][0] if y else 1 << 13
        for value in row:
            difference, before = value - before, value
            size = abs(difference).bit_length()
            coded = difference if difference >= 0 else difference + (1 << size) - 1
            bits.append(f"{size:05b}" + (f"{coded:0{size}b}" if size else ""))
    stream = "".join(bits)
    packed = int(stream + "1" * (-len(stream) % 8), 2).to_bytes(-(-len(stream) // 8), "big")
    # All 17 sizes have codes of 5 bits, so that a code is its size.
    table = struct.pack(
        ">HHB16B17B", 0xFFC4, 2 + 1 + 16 + 17, 0, *(17 if bit == 5 else 0 for bit in range(1, 17)), *range(17)
    )
    frame = struct.pack(">HHBHHBBBB", 0xFFC3, 11, 14, height, width, 1, 1, 0x11, 0)
    scan = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 1, 0, 0)
    return b"\xff\xd8" + table + frame + scan + packed.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def moved_to_the_end(data: bytes) -> bytes:
    """Append the strip of 64×96 16-bit values once more and let its directory point there."""
    at = data.index(struct.pack("<HHII", 279, 4, 1, 64 * 96 * 2))  # its byte count
    entry = data.rindex(struct.pack("<HHI", 273, 4, 1), 0, at)
    (start,) = struct.unpack_from("<I", data, entry + 8)
    out = bytearray(data + data[start : start + 64 * 96 * 2])
    struct.pack_into("<I", out, entry + 8, len(data))
    return bytes(out)

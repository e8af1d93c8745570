"""Pictures and metadata that the tests of `nsp_cli.image` make for themselves."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import cast

import numpy as np
import tifffile
from PIL import Image

from nsp_cli.image import Frame, Metadata
from nsp_cli.image.metadata.ifd import append_directory

NOTE_AT = 8


def build_maker_note(order: str) -> bytes:
    """A Canon note: a directory whose offsets count from the start of the EXIF block, in which it is at `NOTE_AT`."""
    texts = {6: b"Canon EOS 5000\0", 9: b"Note's owner\0"}
    directory, values = struct.pack(order + "H", len(texts)), b""
    for tag, text in texts.items():
        place = NOTE_AT + 2 + 12 * len(texts) + 4 + len(values)
        directory += struct.pack(order + "HHII", tag, 2, len(text), place)
        values += text
    return directory + bytes(4) + values


def build_exif(order: str = "<") -> bytes:
    """A camera's block: IFD0, EXIF, GPS and interoperability directories, a maker note and a thumbnail at the end."""

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def ratios(*values: int) -> bytes:
        return struct.pack(order + f"{len(values)}I", *values)

    out = bytearray(struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 0))
    note = build_maker_note(order)
    out += note
    interop = append_directory(
        out, order, [(1, 2, 4, b"R98\0"), (0x1001, 3, 1, short(640)), (0x1002, 3, 1, short(480))]
    )
    exif = append_directory(
        out,
        order,
        [
            (0x829A, 5, 1, ratios(1, 250)),
            (0x8827, 3, 1, short(6400)),
            (0x9000, 7, 4, b"0232"),
            (0x927C, 7, len(note), NOTE_AT),
            (0xA002, 3, 1, short(640)),
            (0xA003, 4, 1, ratios(480)),
            (0xA005, 4, 1, interop),
            (0xA434, 2, 16, b"Lens 50mm f/1.8\0"),
        ],
    )
    gps = append_directory(
        out,
        order,
        [(0, 1, 4, b"\2\3\0\0"), (1, 2, 2, b"N\0"), (2, 5, 3, ratios(48, 1, 51, 1, 1234, 100)), (5, 1, 1, b"\0")],
    )
    first = append_directory(
        out,
        order,
        [
            (0x010F, 2, 6, b"Canon\0"),
            (0x0110, 2, 9, b"EOS 5000\0"),
            (0x0112, 3, 1, short(6)),
            (0x011A, 5, 1, ratios(300, 1)),
            (0x011B, 5, 1, ratios(300, 1)),
            (0x0128, 3, 1, short(2)),
            (0x0213, 3, 1, short(1)),
            (0x8298, 2, 10, b"Somebody \0"),
            (0x8769, 4, 1, exif),
            (0x8825, 4, 1, gps),
        ],
    )
    next_at = len(out) - 4
    picture = BytesIO()
    Image.new("RGB", (160, 120)).save(picture, "JPEG")
    thumbnail = append_directory(out, order, [(513, 4, 1, 0), (514, 4, 1, len(picture.getvalue()))])
    struct.pack_into(order + "I", out, thumbnail + 2 + 8, len(out))
    struct.pack_into(order + "I", out, next_at, thumbnail)
    struct.pack_into(order + "I", out, 4, first)
    return bytes(out) + picture.getvalue()


def random_frame(
    dtype: str = "uint8",
    channels: int = 3,
    alpha: bool = False,
    size: tuple[int, int] = (23, 31),
    metadata: Metadata | None = None,
    seed: int = 0,
) -> Frame:
    """Noise of any depth, floats beyond [0, 1] too, with or without alpha."""
    rng = np.random.default_rng(seed)

    def plane(*shape: int) -> np.ndarray:
        if dtype == "float32":
            return rng.random(shape, dtype=np.float32) * 3 - 1
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    return Frame(plane(*size, channels), plane(*size) if alpha else None, metadata or Metadata())


def smooth_frame(size: tuple[int, int] = (48, 64), channels: int = 3) -> Frame:
    """A picture that lossy formats keep well: slow ramps, a different one in each channel."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    ramps = [rows * 200 / size[0], columns * 200 / size[1], 100 + 50 * np.sin(columns / 9)]
    return Frame(np.stack(ramps[:channels], axis=2).astype(np.uint8))


def only_page(data: bytes) -> tifffile.TiffPage:
    """The page of a TIFF that has one, as tifffile sees it."""
    (page,) = tifffile.TiffFile(BytesIO(data)).pages
    return cast(tifffile.TiffPage, page)

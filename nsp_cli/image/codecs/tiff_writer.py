"""TIFF written by tifffile behind the EXIF block, so that the block's offsets stay true.

An EXIF block is a TIFF file without a picture. The file that comes out begins with that block; tifffile appends the
picture and its directory; and a last directory, which the header is made to point to, lists both one's fields. No
value of the block moves, so sub-directories and maker notes work as they did in the camera's file.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import SEEK_END, BytesIO
from typing import Any

import numpy as np
from tifffile import FileHandle, TiffWriter

from nsp_cli.image.frame import Frame
from nsp_cli.image.metadata.exif import EXIF_POINTER, GPS_POINTER, IPTC_TAG, STORAGE_TAGS, XMP_TAG, exif_dpi, parse_exif
from nsp_cli.image.metadata.ifd import Directory, Field, Tree, append_packed

_CLASSIC_LIMIT = 4_000_000_000
"""A TIFF with 32-bit offsets ends at 4 GiB; compression may not help, and metadata needs some room."""
_NO_EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
_UNIT, _UNITS = 296, (1, 2, 3)
_RESOLUTION_TAGS = {282, 283, _UNIT}
_BYTE, _UNDEFINED, _INCH = 1, 7, 2


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:  # noqa: ARG001 - Deflate loses nothing
    """Encode a frame with Deflate compression; see `Codec.encode`."""
    exif, out = frame.metadata.exif, BytesIO()
    if frame.pixels.nbytes + (0 if frame.alpha is None else frame.alpha.nbytes) > _CLASSIC_LIMIT:
        with TiffWriter(out, bigtiff=True) as writer:
            _write_page(writer, frame)
        return out.getvalue(), ("EXIF is not kept: in a TIFF above 4 GB it would lose its offsets.",) if exif else ()
    tree, described, warnings = exif_to_extend(exif, "TIFF")
    return _append_picture(tree, described, frame), tuple(warnings)


def exif_to_extend(exif: bytes | None, title: str) -> tuple[Tree, Directory, list[str]]:
    """Return the EXIF block that a file is to begin with, its first directory, and sentences on what is left out.

    Without EXIF, and where it is damaged, the block is an empty one. `title` is the name of the file's format.
    """
    warnings: list[str] = []
    try:
        tree, described = parse_exif(exif or _NO_EXIF)
    except ValueError:
        tree, described = parse_exif(_NO_EXIF)
        warnings.append(f"EXIF is not kept: it is damaged, and a {title} can only hold EXIF whose fields can be read.")
    odd = _odd_fields(tree, described)
    described = replace(described, fields={tag: f for tag, f in described.fields.items() if tag not in odd})
    if described.damaged or odd:
        tags = ", ".join(map(str, (*described.damaged, *odd)))
        warnings.append(
            f"The damaged EXIF fields {tags} are not kept: a {title} can only hold fields that can be read."
        )
    return tree, described, warnings


def _odd_fields(tree: Tree, described: Directory) -> list[int]:
    """Return the tags of fields that libtiff refuses: unknown units, and directories without fields."""
    units = [_UNIT] if described.fields.keys() >= {_UNIT} and tree.number(described.fields[_UNIT]) not in _UNITS else []
    children = {tag: tree.child(described, tag) for tag in (EXIF_POINTER, GPS_POINTER) if tag in described.fields}
    return units + [tag for tag, child in children.items() if child is None or not child.fields]


def _append_picture(tree: Tree, described: Directory, frame: Frame) -> bytes:
    """Append the picture to the EXIF block `tree`, and one directory for both."""
    start = len(tree.data) + len(tree.data) % 2
    out = BytesIO()
    out.write(bytes(tree.data).ljust(start, b"\0"))
    with TiffWriter(FileHandle(out, mode="wb", offset=0), byteorder="<" if tree.order == "<" else ">") as writer:
        _write_page(writer, frame)
    with out.getbuffer() as data:  # in place: a large photo's bytes are not kept twice
        data[4:8] = bytes(data[start + 4 : start + 8])  # tifffile has put a header of its own there
        whole = Tree(data)
        packed = {tag: _entry(whole, field) for tag, field in whole.directory(whole.first).fields.items()}
    # EXIF takes precedence, print resolution included, for which both have the same fields.
    skipped = STORAGE_TAGS - {EXIF_POINTER, GPS_POINTER}
    if exif_dpi(bytes(tree.data)) is None and frame.metadata.dpi is not None:
        skipped |= _RESOLUTION_TAGS
    packed |= {tag: _entry(tree, field) for tag, field in described.fields.items() if tag not in skipped}
    directory = bytearray()
    append_packed(directory, tree.order, [packed[tag] for tag in sorted(packed)])
    end = out.seek(0, SEEK_END)
    out.write(bytes(end % 2) + directory)
    out.seek(4)
    out.write(struct.pack(tree.order + "I", end + end % 2))
    return out.getvalue()


def _entry(tree: Tree, field: Field) -> bytes:
    return bytes(tree.data[field.entry : field.entry + 12])


def _write_page(writer: TiffWriter, frame: Frame) -> None:
    """Write the pixels, with alpha, and the metadata of a frame as the file's one page."""
    metadata = frame.metadata
    extra: list[tuple[int, int, int, Any, bool]] = []
    if metadata.xmp is not None:
        extra.append((XMP_TAG, _BYTE, len(metadata.xmp), metadata.xmp, True))
    if metadata.iptc is not None:
        extra.append((IPTC_TAG, _UNDEFINED, len(metadata.iptc), metadata.iptc, True))
    channels = frame.channels()
    writer.write(
        channels[:, :, 0] if channels.shape[2] == 1 else channels,
        photometric="minisblack" if frame.pixels.shape[2] == 1 else "rgb",
        planarconfig=None if channels.shape[2] == 1 else "contig",
        extrasamples=None if frame.alpha is None else ("unassalpha",),
        compression="zlib",
        # Floats without a predictor, which tifffile has not without a further package: level 6 takes twice as long
        # for nothing.
        compressionargs={"level": 1 if channels.dtype == np.float32 else 6},
        predictor=channels.dtype != np.float32,
        iccprofile=metadata.icc,
        resolution=metadata.dpi,
        resolutionunit=_INCH if metadata.dpi else None,
        extratags=extra,
        metadata=None,
        software=False,
    )

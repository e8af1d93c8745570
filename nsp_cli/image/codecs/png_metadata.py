"""The chunks of a PNG that describe the picture: read, and written. Damaged ones are named and passed over."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from nsp_cli.errors import InputError
from nsp_cli.image.frame import Metadata
from nsp_cli.image.metadata.cicp import SRGB, profile_of_codes, profile_of_points
from nsp_cli.image.metadata.exif import plausible_dpi
from nsp_cli.image.metadata.icc import SRGB_CURVE, Parametric

Chunk = tuple[bytes, bytes]
"""(type, body)"""

_XMP_KEYWORD = b"XML:com.adobe.xmp"
_METRE = 0.0254  # of an inch: PNG counts pixels per metre
_MAX_INFLATED = 64 << 20  # bytes of compressed metadata, so that a small file cannot fill the memory
_SRGB_GAMMA, _SAME_GAMMA = 0.45455, 0.01  # how far gAMA may differ from the value that stands for sRGB's curve
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NAMED_ELSEWHERE = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"eXIf", b"pHYs", b"acTL", *_TEXTS}
_NOTHING_LOST = {
    b"tIME",
    b"sBIT",
    b"bKGD",
    b"hIST",
    b"sPLT",
    b"iDOT",
    b"tRNS",
}  # of the old pixels, or of their storage

Read = TypeVar("Read")


def metadata_chunks(metadata: Metadata) -> list[Chunk]:
    """Return the chunks of a frame's metadata in an order that the PNG specification allows right after IHDR."""
    chunks: list[Chunk] = []
    if metadata.icc is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / _METRE) for value in metadata.dpi), 1)))
    if metadata.exif is not None:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp is not None:
        chunks.append((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    return chunks


def read_metadata(
    chunks: Iterable[Chunk], damaged: Iterable[bytes] = (), *, grey: bool
) -> tuple[Metadata, tuple[str, ...]]:
    """Read the metadata of a PNG, with a sentence on each thing that is not carried over.

    Parameters
    ----------
    chunks : iterable of Chunk
        All chunks of the file that are whole.
    damaged : iterable of bytes
        Types of the chunks that are not.
    grey : bool
        Whether the picture is grey, and so its colour profile.

    Raises
    ------
    InputError
        The colours cannot be kept: HDR.
    """
    found = {kind: body for kind, body in reversed(list(chunks)) if kind != b"IDAT"}
    bad = list(damaged)

    def attempt(name: bytes, reader: Callable[[], Read]) -> Read | None:
        try:
            return reader()
        except (ValueError, IndexError, struct.error, zlib.error):
            bad.append(name)
            return None

    pairs = [attempt(kind, lambda kind=kind, body=body: _text(kind, body)) for kind, body in chunks if kind in _TEXTS]
    texts = dict(pair for pair in pairs if pair)
    older = {
        name: attempt(b"Raw profile type " + name, lambda name=name: _raw_profile(texts, name))
        for name in (b"exif", b"APP1", b"xmp")
    }
    exif = (found.get(b"eXIf") or older[b"exif"] or older[b"APP1"] or b"").removeprefix(b"Exif\0\0") or None
    xmp = texts.pop(_XMP_KEYWORD, None) or older[b"xmp"]
    icc = attempt(b"iCCP", lambda: _inflate(found[b"iCCP"].split(b"\0", 1)[1][1:])) if b"iCCP" in found else None
    if b"cICP" in found or icc is None:
        failed = len(bad)
        described = attempt(b"cICP, cHRM or gAMA", lambda: _described_colours(found, grey=grey))
        icc = described if len(bad) == failed else icc  # cICP goes before a profile, also where it is sRGB
    dpi = attempt(b"pHYs", lambda: _density(found[b"pHYs"])) if b"pHYs" in found else None
    warnings = _left_behind(texts, found, bad)
    if b"iCCP" in bad and icc is None:
        warnings.append("Without the PNG's colour profile, which is damaged, the photo is taken for sRGB.")
    return Metadata(icc, exif, xmp, dpi), tuple(warnings)


def _left_behind(texts: dict[bytes, bytes], found: dict[bytes, bytes], bad: list[bytes]) -> list[str]:
    """Return a sentence on each kind of metadata that is not carried over."""
    warnings: list[str] = []
    if texts:
        warnings.append(f"The PNG's text fields are not carried over: {_names(texts)}.")
    kinds = {kind for kind in found if kind[0] & 0x20} - _NAMED_ELSEWHERE - _NOTHING_LOST
    if kinds:
        warnings.append(f"The PNG's further chunks are not carried over: {_names(kinds)}.")
    if bad:
        warnings.append(f"The PNG has damaged metadata, which is not carried over: {_names(set(bad))}.")
    return warnings


def _names(kinds: Iterable[bytes]) -> str:
    return ", ".join(sorted(kind.decode("latin-1") for kind in kinds))


def _described_colours(found: dict[bytes, bytes], *, grey: bool) -> bytes | None:
    """Return an ICC profile of cICP, or of cHRM and gAMA; None for sRGB and where there is none."""
    if b"cICP" in found:
        primaries, transfer, matrix, full_range = struct.unpack(">4B", found[b"cICP"])
        if matrix != 0 or full_range != 1:
            raise InputError(
                "a PNG whose values are not RGB in full range (cICP) is not supported: convert it to sRGB first"
            )
        return profile_of_codes(primaries, transfer, grey=grey)
    if b"sRGB" in found or not found.keys() & {b"cHRM", b"gAMA"}:
        return None
    points, tone = SRGB, SRGB_CURVE
    if b"cHRM" in found:
        x0, y0, x1, y1, x2, y2, x3, y3 = (value / 100_000 for value in struct.unpack(">8I", found[b"cHRM"]))
        points = ((x1, y1), (x2, y2), (x3, y3), (x0, y0))
    if b"gAMA" in found:
        gamma = struct.unpack(">I", found[b"gAMA"])[0] / 100_000
        if not 0.1 <= gamma <= 10:
            raise ValueError("gAMA is damaged")
        tone = tone if abs(gamma - _SRGB_GAMMA) < _SAME_GAMMA * _SRGB_GAMMA else Parametric(1 / gamma)
    return profile_of_points(points, tone, grey=grey)


def _density(body: bytes) -> tuple[float, float] | None:
    x, y, unit = struct.unpack(">IIB", body)
    return plausible_dpi(x * _METRE, y * _METRE) if unit == 1 else None


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return (keyword, text) of a tEXt, zTXt or iTXt chunk."""
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, _inflate(rest[1:])
    packed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    return keyword, _inflate(text) if packed else text


def _raw_profile(texts: dict[bytes, bytes], name: bytes) -> bytes | None:
    """Parse a profile of ImageMagick or ExifTool from text: a name, a length, and hexadecimal lines."""
    lines = texts.pop(b"Raw profile type " + name, b"").split()
    return bytes.fromhex(b"".join(lines[2:]).decode("ascii")) if len(lines) > 2 else None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    out = inflater.decompress(data, _MAX_INFLATED)
    if not inflater.eof:
        raise ValueError("compressed metadata is cut off or larger than 64 MiB")
    return out

"""The table of raster formats: signatures, suffixes and what each can hold."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_kinds import RAW_SUFFIXES, is_raw
from nsp_cli.image.frame import Frame

MAX_PIXELS = 1_000_000_000
"""Largest number of pixels of a picture: a larger header is probably damaged, and OpenCV's limit is 2**30."""


class Codec(Protocol):
    """Interface of a format's module. Files are passed as bytes, which avoids the path bugs of C libraries."""

    def decode(self, data: bytes) -> Frame:
        """Decode a file. Raises InputError if its kind is not supported, any exception if it is damaged."""
        ...

    def encode(self, frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
        """Encode a frame that fits the format; returns the file and a warning for each loss of metadata."""
        ...


@dataclass(frozen=True)
class Format:
    """Properties of a file format.

    Attributes
    ----------
    magic : re.Pattern[bytes]
        Matches the first bytes of a file.
    depths : tuple of str
        Dtypes that it stores.
    keeps : frozenset of str
        Fields of `Metadata` that it has a place for.
    max_side : int
        Most pixels in width or height that can be written.
    module : str
        Implements `Codec`; imported on first use, since it imports the format's library.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    depths: tuple[str, ...]
    grey: bool
    alpha: bool
    keeps: frozenset[str]
    max_side: int
    module: str

    def codec(self) -> Codec:
        """Import the module that decodes and encodes this format."""
        return cast(Codec, import_module(self.module))


def _magic(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


FORMATS: tuple[Format, ...] = (
    Format(
        name="png",
        title="PNG",
        suffixes=(".png",),
        magic=_magic(rb"\x89PNG\r\n\x1a\n"),
        depths=("uint8", "uint16"),
        grey=True,
        alpha=True,
        keeps=frozenset({"icc", "exif", "xmp", "dpi"}),
        max_side=1_000_000,  # libpng's own limit
        module="nsp_cli.image.codecs.png",
    ),
    Format(
        name="jpeg",
        title="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        magic=_magic(rb"\xff\xd8\xff"),
        depths=("uint8",),
        grey=True,
        alpha=False,
        keeps=frozenset({"icc", "exif", "xmp", "dpi", "iptc"}),
        max_side=65_500,  # libjpeg's own limit
        module="nsp_cli.image.codecs.jpeg",
    ),
    Format(
        name="tiff",
        title="TIFF",
        suffixes=(".tif", ".tiff"),
        magic=_magic(rb"II[*+]\0|MM\0[*+]"),
        depths=("uint8", "uint16", "float32"),
        grey=True,
        alpha=True,
        keeps=frozenset({"icc", "exif", "xmp", "dpi", "iptc"}),
        max_side=2**31 - 1,
        module="nsp_cli.image.codecs.tiff",
    ),
    Format(
        name="webp",
        title="WebP",
        suffixes=(".webp",),
        magic=_magic(rb"RIFF....WEBP"),
        depths=("uint8",),
        grey=False,
        alpha=True,
        keeps=frozenset({"icc", "exif", "xmp"}),
        max_side=16_383,
        module="nsp_cli.image.codecs.webp",
    ),
    Format(
        name="avif",
        title="AVIF",
        suffixes=(".avif",),
        magic=_magic(rb"....ftyp(?:avi[fs]|....(?:....){0,16}avi[fs])"),
        depths=("uint8",),
        grey=True,
        alpha=True,
        keeps=frozenset({"icc", "exif", "xmp"}),
        max_side=65_536,
        module="nsp_cli.image.codecs.avif",
    ),
)

RAW = Format(
    name="raw",
    title="RAW",
    suffixes=RAW_SUFFIXES,
    magic=_magic(rb""),  # recognised by `is_raw`
    depths=("uint16",),
    grey=True,
    alpha=False,
    keeps=frozenset(),
    max_side=0,
    module="nsp_cli.image.codecs.raw",
)
"""RAW photos are read and written in other formats, so RAW is not in the table."""

HEIC = Format(
    name="heic",
    title="HEIC",
    suffixes=(".heic", ".heif", ".hif"),
    magic=_magic(rb"....ftyp(?:hei[cmsx]|hev[cmsx]|mif[12]|msf1)"),
    depths=("uint8", "uint16"),
    grey=True,
    alpha=True,
    keeps=frozenset(),
    max_side=0,
    module="nsp_cli.image.codecs.heic",
)
"""HEIC is read with the optional extra [heic], and not written."""

DNG = Format(
    name="dng",
    title="DNG",
    suffixes=(".dng",),
    magic=RAW.magic,
    depths=("float32",),  # of `Frame.linear_raw`; the file has 16 bits
    grey=True,
    alpha=False,
    keeps=frozenset({"icc", "exif", "xmp", "dpi", "iptc"}),
    max_side=2**31 - 1,
    module="nsp_cli.image.codecs.dng",
)
"""DNG is written of RAW photos alone and read as RAW, so it is not in the table either."""

BY_NAME: dict[str, Format] = {row.name: row for row in FORMATS}
WRITABLE: dict[str, str] = {suffix: row.name for row in (*FORMATS, DNG) for suffix in row.suffixes}
SUFFIXES: dict[str, str] = WRITABLE | dict.fromkeys(HEIC.suffixes, HEIC.name) | dict.fromkeys(RAW_SUFFIXES, RAW.name)
TITLES = ", ".join(row.title for row in FORMATS[:-1]) + f" or {FORMATS[-1].title}"


def is_photo(path: Path) -> bool:
    """Return whether `read` can read the suffix here and the file is not a hidden one."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and unread_format(path) is None


def reads_heic() -> bool:
    """Return whether the extra [heic] is installed."""
    return find_spec("pi_heif") is not None


_UNREAD = {
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "PSD": (".psd", ".psb"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "OpenEXR": (".exr",),
    "TGA": (".tga",),
    "XCF": (".xcf",),
    "Krita": (".kra",),
    "Affinity": (".afphoto", ".af"),
    "JPEG XR": (".jxr", ".wdp", ".hdp"),
    "PNM": (".ppm", ".pgm", ".pnm", ".pam"),
    "Radiance HDR": (".hdr",),
    "FITS": (".fits", ".fit", ".fts"),
    "DPX": (".dpx",),
    "QOI": (".qoi",),
    "PCX": (".pcx",),
}
_UNREAD_BY_START = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "PSD",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"v/1\x01": "OpenEXR",
    b"gimp xcf": "XCF",
    b"II\xbc\x01": "JPEG XR",
    b"qoif": "QOI",
}
_UNREAD_BY_SUFFIX = {suffix: name for name, suffixes in _UNREAD.items() for suffix in suffixes}


def unread_format(path: Path) -> str | None:
    """Return the name of a format of pictures that `read` cannot read here, by the suffix; None for all others."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return None
    if suffix in HEIC.suffixes:
        return None if reads_heic() else HEIC.title
    return _UNREAD_BY_SUFFIX.get(suffix)


def output_suffix(suffix: str) -> str:
    """Return the default suffix of a result: that of its photo, TIFF for RAW and 10-bit HIF, JPEG for HEIC."""
    kind = SUFFIXES.get(suffix.lower())
    if kind == HEIC.name and suffix.lower() != ".hif":
        return ".jpg"
    return ".tif" if kind in (RAW.name, HEIC.name) else suffix


def sniff(data: bytes, suffix: str = "") -> Format:
    """Detect the format from a file's content. Raises InputError for an unknown one.

    `suffix` is the file's; it decides between TIFF and RAW alone, and only where the content does not.
    """
    if is_raw(data, suffix):
        return RAW
    for row in (*FORMATS, HEIC):
        if row.magic.match(data):
            return row
    if not data:
        raise InputError("the file is empty")
    name = next((name for start, name in _UNREAD_BY_START.items() if data[: len(start)] == start), None)
    if name is not None:
        raise InputError(f"this is {name}, which is not read; export it as TIFF or JPEG first")
    raise InputError(
        f"this is not a supported photo ({TITLES}, or a camera's RAW file); it starts with the bytes "
        f"{data[:8].hex(' ')}"
    )


_LARGE, _BYTES_A_PIXEL = 100_000_000, 12
"""Number of pixels above which the free memory is checked first, and what decoding and processing take for each."""


def check_size(width: int, height: int) -> None:
    """Raise InputError for more than `MAX_PIXELS` or more than fit into memory, before pixels are decoded."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise InputError(f"a picture has 1 to {MAX_PIXELS:,} pixels, got {width:,} x {height:,}")
    if width * height > _LARGE:
        import psutil

        free = int(psutil.virtual_memory().available)
        if width * height * _BYTES_A_PIXEL > free:
            needed = width * height * _BYTES_A_PIXEL / 1e9
            raise InputError(f"the picture needs {needed:.1f} GB of memory, and {free / 1e9:.1f} GB are free")


_pillow_lock = threading.Lock()


@contextmanager
def own_pixel_limit() -> Generator[None]:
    """Lift Pillow's limit of pixels, which is global, while a file is opened: `check_size` has a limit of its own."""
    from PIL import Image

    with _pillow_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit

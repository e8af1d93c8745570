"""Read the size of a photo, and its EXIF, without decoding its pixels."""

from __future__ import annotations

import mmap
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from nsp_cli.image.formats import FORMATS, SUFFIXES, own_pixel_limit, sniff
from nsp_cli.image.metadata.exif import exif_from_tiff
from nsp_cli.image.metadata.ifd import Tree

_WIDTH, _HEIGHT = 256, 257
_MAGIC_BYTES = 128  # of the start of a file, by which its format is recognised
_PLUGINS = {
    "png": ("PngImagePlugin", "PngImageFile"),
    "jpeg": ("JpegImagePlugin", "JpegImageFile"),
    "tiff": ("TiffImagePlugin", "TiffImageFile"),
    "webp": ("WebPImagePlugin", "WebPImageFile"),
    "avif": ("AvifImagePlugin", "AvifImageFile"),
}


def probe_size(path: Path) -> tuple[int, int] | None:
    """Return (height, width) as stored, or None where the header does not have it. Never raises for a damaged file."""
    kind = SUFFIXES.get(path.suffix.lower())
    try:
        return {"tiff": _tiff, "raw": _raw, "heic": _heic}.get(kind or "", _other)(path)
    except Exception:  # each library has its own ways to fail, and an estimate can do without one photo
        return None


def probe_container(path: Path) -> str | None:
    """Return the name of a photo's format by its content, or None for a format that is not read. Never raises."""
    try:
        return sniff(path.read_bytes(), path.suffix).name
    except Exception:  # as above
        return None


def probe_exif(path: Path) -> bytes | None:
    """Return a photo's EXIF as stored, or None where there is none. Never raises for a damaged file."""
    kind = SUFFIXES.get(path.suffix.lower())
    try:
        return {"tiff": _tiff_exif, "raw": _raw_exif, "heic": _heic_exif, "png": _png_exif}.get(
            kind or "", _other_exif
        )(path)
    except Exception:  # as above
        return None


@contextmanager
def _mapped(path: Path) -> Generator[Any]:
    """Map a file into memory; the view is sliced and unpacked like bytes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield view


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    """Open by the classes of Pillow: `Image.open` warns of large pictures, and refuses larger ones."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_BYTES)
        file.seek(0)
        row = next(row for row in FORMATS if row.magic.match(head))
        plugin, name = _PLUGINS[row.name]
        with own_pixel_limit(), getattr(import_module(f"PIL.{plugin}"), name)(file) as image:
            yield image


def _tiff(path: Path) -> tuple[int, int] | None:
    with _mapped(path) as view:
        tree = Tree(view)
        fields = tree.directory(tree.first).fields
        height, width = (tree.number(fields.get(tag)) for tag in (_HEIGHT, _WIDTH))
    return None if height is None or width is None else (height, width)


def _tiff_exif(path: Path) -> bytes | None:
    with _mapped(path) as view:
        return exif_from_tiff(Tree(view))[0]


def _png_exif(path: Path) -> bytes | None:
    from nsp_cli.image.codecs.png import split_chunks
    from nsp_cli.image.codecs.png_metadata import read_metadata

    with _mapped(path) as view:
        damaged: list[bytes] = []
        chunks = [chunk for chunk in split_chunks(view, damaged) if chunk[0] != b"IDAT"]
    return read_metadata(chunks, damaged, grey=False)[0].exif


def _other(path: Path) -> tuple[int, int] | None:
    with _opened(path) as image:
        return image.height, image.width


def _other_exif(path: Path) -> bytes | None:
    with _opened(path) as image:
        return (image.info.get("exif") or b"").removeprefix(b"Exif\0\0") or None


def _raw(path: Path) -> tuple[int, int]:
    """Read the size by LibRaw, without developing: the first size in a RAW file is as a rule its preview's."""
    import rawpy

    with rawpy.imread(str(path)) as raw:
        return raw.sizes.iheight, raw.sizes.iwidth


def _raw_exif(path: Path) -> bytes | None:
    import rawpy

    from nsp_cli.image.codecs.raw import preview_exif
    from nsp_cli.image.metadata.raw_exif import raw_exif

    with rawpy.imread(str(path)) as raw, _mapped(path) as view:
        return raw_exif(view, preview_exif(raw))[0]


def _heic(path: Path) -> tuple[int, int]:
    from nsp_cli.image.codecs.heic import open_primary

    width, height = open_primary(path.read_bytes())[0].size
    return height, width


def _heic_exif(path: Path) -> bytes | None:
    from nsp_cli.image.codecs.heic import open_primary

    info: dict[str, Any] = open_primary(path.read_bytes())[0].info
    return (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None

"""Read the size of a photo from its header alone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from nsp_cli.image.formats import FORMATS, SUFFIXES, own_pixel_limit
from nsp_cli.image.metadata.ifd import Tree

_WIDTH, _HEIGHT = 256, 257
_MAGIC_BYTES = 128
_PLUGINS = {
    "png": ("PngImagePlugin", "PngImageFile"),
    "jpeg": ("JpegImagePlugin", "JpegImageFile"),
    "tiff": ("TiffImagePlugin", "TiffImageFile"),
    "webp": ("WebPImagePlugin", "WebPImageFile"),
    "avif": ("AvifImagePlugin", "AvifImageFile"),
}


def probe_size(path: Path) -> tuple[int, int] | None:
    """(height, width) as stored, or None where the header does not have it. Never raises for a damaged file."""
    kind = SUFFIXES.get(path.suffix.lower())
    try:
        return {"tiff": _tiff, "raw": _raw, "heic": _heic}.get(kind or "", _other)(path)
    except Exception:  # each library has its own ways to fail, and an estimate can do without one photo
        return None


def _tiff(path: Path) -> tuple[int, int] | None:
    import mmap

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        tree = Tree(view)  # pyright: ignore[reportArgumentType] - sliced and unpacked like bytes
        fields = tree.directory(tree.first).fields
        height, width = (tree.number(fields.get(tag)) for tag in (_HEIGHT, _WIDTH))
    return None if height is None or width is None else (height, width)


def _other(path: Path) -> tuple[int, int] | None:
    """Read the size by the classes of Pillow: `Image.open` warns of large pictures, and refuses larger ones."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_BYTES)
        file.seek(0)
        row = next(row for row in FORMATS if row.magic.match(head))
        plugin, name = _PLUGINS[row.name]
        with own_pixel_limit(), getattr(import_module(f"PIL.{plugin}"), name)(file) as image:
            return image.height, image.width


def _raw(path: Path) -> tuple[int, int]:
    """Read the size by LibRaw, without developing: the first size in a RAW file is as a rule its preview's."""
    import rawpy

    with rawpy.imread(str(path)) as raw:
        return raw.sizes.iheight, raw.sizes.iwidth


def _heic(path: Path) -> tuple[int, int]:
    import pi_heif

    width, height = pi_heif.open_heif(path).size
    return height, width

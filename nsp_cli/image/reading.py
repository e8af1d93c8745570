"""`read`: any photo to a `Frame`."""

from __future__ import annotations

import mmap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_kinds import RawOptions
from nsp_cli.image.colour import srgb_pixels
from nsp_cli.image.formats import RAW, Format, sniff
from nsp_cli.image.frame import Frame, Pixels


def read(source: Path | bytes, develop: RawOptions | None = None) -> Frame:
    """Read a photo; its format is detected from its content and not from its suffix.

    Parameters
    ----------
    source : Path or bytes
        A file, or the bytes of one.
    develop : RawOptions, optional
        How a RAW file is developed; None for `RawOptions()`.

    Returns
    -------
    Frame
        A frame with exactly the stored values, in the stored depth; palettes are looked up and 1-bit pixels widened.
        Orientation is not applied, except that a RAW file becomes an upright 16-bit sRGB picture. What the file had and
        the frame cannot carry is named in `Frame.warnings`.

    Raises
    ------
    InputError
        The file is missing, empty, cut off, damaged, animated, too large, or of a kind that is not supported.
    """
    name = "the input" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _load(source)
    row = _sniff(data, name, "" if isinstance(source, bytes) else source.suffix)
    with _one_sentence(name, row):
        if row is RAW:
            from nsp_cli.image.codecs import raw

            return raw.decode(data, develop)
        return row.codec().decode(data)


def check_header(path: Path) -> None:
    """Raise the `InputError` of `read` as far as the header of a file decides, without decoding pixels.

    In RAW files and TIFFs these are the kind of the picture and the places of its strips and tiles, which lie beyond
    the end of a file that is cut off; of others, the format alone is checked.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            data: Any = view  # is sliced and unpacked like bytes
            row = _sniff(data, str(path), path.suffix)
            with _one_sentence(str(path), row):
                if row is RAW:
                    from nsp_cli.image.codecs.raw_segments import check_whole

                    check_whole(data)
                elif row.name == "tiff":
                    from nsp_cli.image.codecs.tiff import check_header as check_tiff

                    check_tiff(data)
    except (OSError, ValueError):  # an empty file is one of those that cannot be mapped
        _sniff(_load(path), str(path), path.suffix)


def _sniff(data: Any, name: str, suffix: str) -> Format:
    try:
        return sniff(data, suffix)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


@contextmanager
def _one_sentence(name: str, row: Format) -> Generator[None]:
    """Turn whatever a codec raises into an `InputError` with the name of the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{name}: there is not enough memory to read this {row.title}") from error
    except Exception as error:  # each library has its own ways to fail on damaged data
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{name}: the {row.title} file is damaged or incomplete ({reason})") from error


def read_srgb(source: Path | bytes) -> Pixels:
    """Read a photo as sRGB pixels, whatever its profile; see `read` and `colour.srgb_pixels`."""
    return srgb_pixels(read(source))


def _load(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"{path} is {kind}, not a file")
        return path.read_bytes()
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be read: {found}") from error

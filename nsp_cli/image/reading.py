"""`read`: any photo to a `Frame`."""

from __future__ import annotations

from pathlib import Path

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_kinds import RawOptions
from nsp_cli.image.colour import srgb_pixels
from nsp_cli.image.formats import RAW, sniff
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
    try:
        row = sniff(data, "" if isinstance(source, bytes) else source.suffix)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    try:
        if row is RAW:
            from nsp_cli.image.codecs import raw

            return raw.decode(data, develop)
        return row.codec().decode(data)
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

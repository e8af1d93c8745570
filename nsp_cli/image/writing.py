"""`write` and `encode`: a `Frame` to a file or to bytes, with warnings of what the format cannot hold."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from nsp_cli.errors import OutputError, TargetExistsError
from nsp_cli.image.colour import adobe_profile
from nsp_cli.image.formats import BY_NAME, DNG, WRITABLE, Format
from nsp_cli.image.frame import Frame, Metadata, from_unit, to_unit
from nsp_cli.image.metadata.exif import exif_dpi, orientation_only, update_exif
from nsp_cli.image.metadata.xmp import update_xmp
from nsp_cli.system.atomic import write_atomically

_DCF_FORMATS = ("jpeg", "tiff", "dng")  # readers of others do not search EXIF for the mark of Adobe RGB
_LABELS = {"icc": "the colour profile", "exif": "EXIF", "xmp": "XMP", "dpi": "the print resolution", "iptc": "IPTC"}


def write(
    frame: Frame,
    target: Path,
    *,
    quality: int = 95,
    keep_metadata: bool = True,
    overwrite: bool = False,
    attributes_of: Path | None = None,
) -> tuple[str, ...]:
    """Write a photo in the format of the target's suffix; the file appears whole or not at all.

    Parameters
    ----------
    frame : Frame
        The photo; the size in its EXIF is updated, and an EXIF thumbnail, of the old pixels, is left out.
    target : Path
        A path that ends in one of `WRITABLE`.
    quality : int
        1 to 100, for JPEG, WebP (100: without loss) and AVIF.
    keep_metadata : bool
        Whether to write all metadata, or only those that change how the picture looks: colour profile and orientation.
    overwrite : bool
        Whether to replace an existing target, which is otherwise an error, even if it appears at the last moment.
    attributes_of : Path, optional
        A file whose mode, extended attributes and times the target gets, as far as the system allows it. None keeps
        the mode and extended attributes of a replaced file, and sets the time of writing.

    Returns
    -------
    tuple of str
        Sentences that name all that the format could not hold; empty if nothing was lost.

    Raises
    ------
    OutputError
        The format is unknown or cannot hold the picture, the target exists, or it cannot be written.
    """
    name = WRITABLE.get(target.suffix.lower())
    if name is None:
        raise OutputError(f"{target}: the suffix must be one of {', '.join(WRITABLE)}, got {target.suffix or 'none'}")
    if not overwrite and os.path.lexists(target):
        raise TargetExistsError(f"{target} exists already; choose another name, or allow replacing it")
    try:
        data, warnings = encode(frame, name, quality=quality, keep_metadata=keep_metadata)
    except OutputError as error:
        raise OutputError(f"{target}: {error}") from error
    write_atomically(data, target, overwrite=overwrite, attributes_of=attributes_of)
    return warnings


def encode(
    frame: Frame, format: str, *, quality: int = 95, keep_metadata: bool = True
) -> tuple[bytes, tuple[str, ...]]:
    """Encode a frame to bytes, as `write` does; `format` is a value of `WRITABLE`, such as "png".

    Returns
    -------
    tuple[bytes, tuple[str, ...]]
        The file's bytes, and sentences that name all that the format could not hold.

    Raises
    ------
    OutputError
        The format is unknown, or cannot hold the picture.
    """
    row = (BY_NAME | {DNG.name: DNG}).get(format)
    if row is None:
        raise OutputError(f"`format` must be one of {', '.join(BY_NAME)}, got {format!r}")
    if (frame.linear_raw is None) is (row is DNG):
        raise OutputError(
            "a RAW photo that was read with `RawOptions(linear=True)` is written as DNG, and no other photo is"
        )
    if not 1 <= quality <= 100:
        raise OutputError(f"`quality` must be from 1 to 100, got {quality}")
    floats = [p for p in (frame.pixels, frame.alpha) if p is not None and p.dtype == np.float32]
    if not all(np.isfinite(row).all() for part in floats for row in part):  # a row at a time needs no memory
        raise OutputError("the picture has values that are NaN or infinite")
    metadata = frame.metadata
    if not keep_metadata or row.name not in _DCF_FORMATS:
        icc = metadata.icc or adobe_profile(metadata, frame.pixels.shape[2])
        metadata = replace(metadata, icc=icc)
    if not keep_metadata:
        metadata = Metadata(icc=metadata.icc, exif=orientation_only(metadata.exif))
    exif, xmp = update_exif(metadata.exif, frame.size), update_xmp(metadata.xmp, frame.size)
    frame = replace(frame, metadata=replace(metadata, exif=exif, xmp=xmp))
    fitted, warnings = _fit(frame, row)
    try:
        data, more = row.codec().encode(fitted, quality)
    except Exception as error:  # each library has its own ways to fail
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OutputError(f"the picture cannot be encoded as {row.title} ({reason})") from error
    return data, (*warnings, *more)


def check_size(size: tuple[int, int], format: str) -> None:
    """Raise `OutputError` if a format, such as "png", cannot hold a picture of this (height, width)."""
    row = (BY_NAME | {DNG.name: DNG}).get(format)
    if row is not None and max(size) > row.max_side:
        height, width = size
        raise OutputError(f"at most {row.max_side:,} pixels a side fit in a {row.title}, got {width} x {height}")


def _fit(frame: Frame, row: Format) -> tuple[Frame, list[str]]:
    """Adapt a frame to what its format can hold; returns it and a warning for each loss."""
    check_size(frame.size, row.name)
    warnings: list[str] = []
    if frame.pixels.dtype.name not in row.depths:
        frame, warning = _reduce(frame, row)
        warnings.append(warning)
    if frame.alpha is not None and not row.alpha:
        frame = replace(frame, alpha=None)
        warnings.append(f"{row.title} has no alpha channel: transparency is dropped.")
    if frame.pixels.shape[2] == 1 and not row.grey:
        frame = frame.with_pixels(np.repeat(frame.pixels, 3, axis=2))
        warnings.append(f"{row.title} has no grey pictures: it is written as RGB with equal channels.")
    metadata = frame.metadata
    for field in fields(metadata):
        if field.name in row.keeps or getattr(metadata, field.name) is None:
            continue
        if not (field.name == "dpi" and exif_dpi(metadata.exif) is not None):
            warnings.append(f"{row.title} has no place for {_LABELS[field.name]}: it is dropped.")
        metadata = replace(metadata, **{field.name: None})
    return replace(frame, metadata=metadata), warnings


def _reduce(frame: Frame, row: Format) -> tuple[Frame, str]:
    """Reduce the bit depth to the largest of the format; returns the frame and a warning."""
    depth = np.dtype(row.depths[-1])
    pixels = from_unit(to_unit(frame.pixels), depth)
    alpha = None if frame.alpha is None else from_unit(to_unit(frame.alpha), depth)
    warning = f"{row.title} holds {8 * depth.itemsize} bits a channel: {_depth_name(frame)} is reduced"
    if frame.pixels.dtype == np.float32 and (frame.pixels.min() < 0 or frame.pixels.max() > 1):
        warning += ", and values outside 0 to 1 are clipped"
    return replace(frame, pixels=pixels, alpha=alpha), warning + "."


def _depth_name(frame: Frame) -> str:
    bits = 8 * frame.pixels.dtype.itemsize
    return f"{bits}-bit float" if frame.pixels.dtype == np.float32 else f"{bits}-bit"

"""Photos as the Python API takes them: frames, arrays, pictures of Pillow, and paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import InputError, UsageError
from nsp_cli.image.frame import Frame, Metadata, Pixels, range_fault, split_channels
from nsp_cli.image.reading import read

_MODES = ("L", "LA", "RGB", "RGBA")
"""Modes of Pillow's pictures that hold grey or RGB values, without a palette or another colour model."""


def as_frame(photo: object) -> Frame:
    """Return a photo as a `Frame`.

    Parameters
    ----------
    photo
        A `Frame`; a path; an (H, W, 3) or (H, W, 1) array of uint8, uint16, or float32 with finite values from 0
        (black) to 1 (white) and at most 1 % of them above 16, all in sRGB; or a picture of Pillow in one of the modes
        L, LA, RGB and RGBA, in the colours of its profile.

    Raises
    ------
    UsageError
        It is something else.
    InputError
        The path cannot be read.
    """
    if isinstance(photo, Frame):
        _check_range(photo.pixels)
        return photo
    if isinstance(photo, str | Path):
        if "\0" in str(photo):
            raise InputError(f"There is no photo {str(photo)!r}.")
        return read(Path(photo))
    if isinstance(photo, np.ndarray):
        return _from_array(photo)
    if isinstance(getattr(photo, "mode", None), str):
        return _from_picture(photo)
    raise UsageError(f"The photo must be an array, a path, a Frame or a picture of Pillow, got {type(photo).__name__}.")


def to_input_kind(photo: object, frame: Frame) -> Any:
    """Return a result in the form of the photo that it was made of; for a path that is a `Frame`.

    An array or a `Frame` has pixels of its own, also where the result is the photo.
    """
    if isinstance(photo, np.ndarray):
        return frame.pixels.copy() if np.may_share_memory(frame.pixels, photo) else frame.pixels
    if isinstance(photo, Frame) and np.may_share_memory(frame.pixels, photo.pixels):
        return replace(frame, pixels=frame.pixels.copy())
    if isinstance(photo, Frame | str | Path):
        return frame
    from PIL import Image

    picture = Image.fromarray(frame.channels().squeeze(2) if frame.channels().shape[2] == 1 else frame.channels())
    picture.info = dict(getattr(photo, "info", {}))
    return picture


def _from_array(array: NDArray[Any]) -> Frame:
    """Return a frame of an array's pixels. Raises `UsageError` for another shape, dtype or range."""
    if array.ndim == 2:
        raise UsageError(f"A photo's array must be (H, W, 3) or (H, W, 1), got {array.shape}; give photo[..., None].")
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        hint = "; give photo[..., :3]" if array.ndim == 3 and array.shape[2] == 4 else ""
        raise UsageError(f"A photo's array must be (H, W, 3) or (H, W, 1) and not empty, got {array.shape}{hint}.")
    if array.dtype.name not in ("uint8", "uint16", "float32"):
        raise UsageError(f"A photo's array must be uint8, uint16 or float32, got {array.dtype}; use astype.")
    _check_range(array)
    return Frame(np.ascontiguousarray(array))


def _check_range(array: Pixels) -> None:
    if fault := range_fault(array):
        raise UsageError(f"A float photo {fault}.")


def _from_picture(picture: Any) -> Frame:
    if picture.mode not in _MODES:
        raise UsageError(f"A picture of Pillow must be {', '.join(_MODES)}, got {picture.mode}; give convert('RGB').")
    pixels, alpha = split_channels(np.asarray(picture))
    return replace(Frame(pixels, alpha), metadata=Metadata(icc=picture.info.get("icc_profile")))

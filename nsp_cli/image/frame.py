"""`Frame`: one photo in memory, with all that its file carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16 | np.float32]

_BRIGHT = 16.0
"""Value of a float photo, where 1 is white, four stops above it: that of lamps and the sun in HDR photos alone."""
_MOST_BRIGHT = 0.01
"""Largest fraction of a float photo's values beyond that. More of them are a mistake, such as values of 0 to 255."""


@dataclass(frozen=True)
class Metadata:
    r"""Metadata of a picture, as the bytes found in its file.

    Attributes
    ----------
    icc : bytes, optional
        The ICC profile.
    exif : bytes, optional
        The EXIF block from the TIFF header on (no ``Exif\0\0``); orientation stays in it and is never applied to the
        pixels.
    xmp : bytes, optional
        The XMP packet.
    dpi : tuple of float, optional
        Pixels per inch: horizontally, vertically.
    iptc : bytes, optional
        The bare IPTC-IIM stream (captions and credits as press agencies write them).
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None


TagValue = tuple[int, int, Sequence[float]]
"""(tag, type, values) of a TIFF field; a rational has two values, bytes and text are bytes."""


@dataclass(frozen=True)
class LinearRaw:
    """Data of a linear DNG besides the pixels, see `codecs.linear_raw.demosaic`.

    Attributes
    ----------
    neutral : tuple of float
        The camera's values of something white in the light of the shot, one a channel, the largest 1.
    to_srgb : ndarray
        (3, 3) white-balanced camera colours to linear sRGB, for the preview.
    tags : tuple of TagValue
        Fields of the DNG that describe the camera's colours.
    orientation : int
        EXIF's number for it; the pixels are not rotated.
    crop : tuple[int, int, int, int]
        (left, top, width, height) in pixels that RAW programs show.
    size : tuple[int, int]
        (height, width) that `crop` refers to.
    camera : str
        Name that RAW programs find the camera's profile by.
    """

    neutral: tuple[float, ...]
    to_srgb: NDArray[np.float32]
    tags: tuple[TagValue, ...]
    orientation: int
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    camera: str = ""


@dataclass(frozen=True)
class Frame:
    """A photo in the bit depth of its file: a 100-megapixel JPEG takes 0.3 GB, not the 1.2 GB of float32.

    Attributes
    ----------
    pixels : Pixels
        (H, W, C) array, C = 1 (grey) or 3 (RGB), of uint8 in [0, 255], uint16 in [0, 65535] or float32, where 1.0 is
        white (a float TIFF may go beyond [0, 1], and keeps what it has).
    alpha : Pixels or None
        (H, W) array of the same dtype, or None.
    metadata : Metadata
        See `Metadata`.
    container : str
        The format that it was read from: "png", "jpeg", "tiff", "webp", …
    jpeg_subsampling : str or None
        "4:4:4", "4:2:2", "4:2:0" or None; a JPEG written from this frame is never coarser.
    warnings : tuple of str
        Sentences on what could not be carried over, for the user to see.
    linear_raw : LinearRaw or None
        Colours of a RAW photo that is not converted to sRGB, and can be written as DNG alone; None for other photos.
    below_black : Pixels or None
        Distances of values below black in a developed RAW photo, an array like `pixels`, which is 0 there; else None.
        Noise that is cut at black has a mean above black, so that denoised shadows would get a colour.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    container: str = "png"
    jpeg_subsampling: str | None = None
    warnings: tuple[str, ...] = ()
    linear_raw: LinearRaw | None = None
    below_black: Pixels | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"Frame pixels must be (H, W, 1 or 3) and not empty, got shape {self.pixels.shape}")
        peak(self.pixels.dtype)
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != (
            self.pixels.shape[:2],
            self.pixels.dtype,
        ):
            expected = f"{self.pixels.shape[:2]} {self.pixels.dtype}"
            raise ValueError(f"alpha must be {expected}, got {self.alpha.shape} {self.alpha.dtype}")
        if self.below_black is not None and self.below_black.shape != self.pixels.shape:
            raise ValueError(f"below_black must be {self.pixels.shape}, got {self.below_black.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def megapixels(self) -> float:
        """Number of pixels in millions."""
        return self.pixels.shape[0] * self.pixels.shape[1] / 1e6

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None = None) -> Frame:
        """Return the photo with other pixels, clipped at black, and another alpha if the size has changed."""
        return replace(self, pixels=pixels, alpha=self.alpha if alpha is None else alpha, below_black=None)

    def region(self, rows: slice, columns: slice) -> Frame:
        """Crop the photo and its other planes."""
        alpha, below = (None if part is None else part[rows, columns] for part in (self.alpha, self.below_black))
        return replace(self, pixels=self.pixels[rows, columns], alpha=alpha, below_black=below)

    def unit_values(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return a region as float32, white = 1, including values below black."""
        values = to_unit(self.pixels[rows, columns])
        return values if self.below_black is None else values - to_unit(self.below_black[rows, columns])

    def channels(self) -> Pixels:
        """Return an array (H, W, 1 to 4) of the pixels, with alpha as the last channel if there is one."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[:, :, None]], axis=2)


def split_channels(array: Pixels) -> tuple[Pixels, Pixels | None]:
    """Split an array (H, W) or (H, W, 1 to 4) into pixels (H, W, 1 or 3) and alpha (H, W) or None.

    This is the inverse of `Frame.channels`.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] in (1, 3):
        return array, None
    return np.ascontiguousarray(array[:, :, :-1]), np.ascontiguousarray(array[:, :, -1])


def peak(dtype: np.dtype | type) -> float:
    """Return the value of white: 255, 65535 or 1.0. Raises ValueError for other dtypes."""
    dtype = np.dtype(dtype)
    if dtype == np.float32:
        return 1.0
    if dtype in (np.dtype(np.uint8), np.dtype(np.uint16)):
        return float(np.iinfo(dtype).max)
    raise ValueError(f"pixels must be uint8, uint16 or float32, got {dtype}")


def range_fault(pixels: Pixels) -> str:
    """Return what is wrong with the values of float pixels; empty if they are finite and hardly any is beyond 16.

    It continues a message that begins with what holds them, "A float photo". Pixels of other dtypes have no fault.
    """
    if pixels.dtype != np.float32:
        return ""
    low, high = float(pixels.min()), float(pixels.max())  # NaN wherever there is one
    if low >= -_BRIGHT and high <= _BRIGHT:
        return ""
    if not np.isfinite([low, high]).all():
        return "has values that are NaN or infinite; replace them"
    bright = sum(int(np.count_nonzero(np.abs(row) > _BRIGHT)) for row in pixels)  # a row needs no memory
    if bright <= _MOST_BRIGHT * pixels.size:
        return ""
    return (
        f"has values from 0 (black) to 1 (white), and at most {_MOST_BRIGHT:.0%} of them above {_BRIGHT:g}, "
        f"got {low:g} to {high:g}; divide it by the value of white"
    )


def to_unit(pixels: Pixels) -> NDArray[np.float32]:
    """Convert pixels of any depth to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(peak(pixels.dtype))


def from_unit(values: NDArray[np.float32], dtype: np.dtype | type) -> Pixels:
    """Convert float32 in [0, 1] to `dtype`, rounded and clipped for integers.

    This is the inverse of `to_unit`, bit for bit.
    """
    if np.dtype(dtype) == np.float32:
        return values.astype(np.float32, copy=False)
    top = peak(dtype)
    return np.clip(np.rint(values * np.float32(top)), 0, top).astype(dtype)

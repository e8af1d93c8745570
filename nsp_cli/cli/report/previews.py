"""Small pictures of a photo before and after, for the report. Works on strips, so a large photo costs no copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsp_cli.image import Frame, srgb_pixels, to_unit
from nsp_cli.image.frame import Pixels
from nsp_cli.image.metadata.exif import ORIENTATION, parse_exif

_BLOCK = 32  # pixels: side of the squares in which change, detail and darkness are measured
_BLACK = 0.02  # mean of a column of a block, in [0, 1], below which differences cannot be seen
_LARGEST_PROFILE = 65_536  # bytes of an ICC profile; with larger ones the pictures of the page are in sRGB
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Size:
    """Sides of the pictures in pixels, how many crops, and the quality: fewer where a page holds many photos.

    A quality of 100 is without loss, so that the page's sliders show what the tool would write.
    """

    whole: int
    crop: int
    quality: int
    crops: int = 3

    @classmethod
    def for_photos(cls, count: int) -> Self:
        """Choose preview sizes that keep the page below about 100 MB."""
        if count <= 40:
            return cls(1024, 288, 100)
        return cls(640, 224, 88) if count <= 400 else cls(320, 160, 80, 1)


@dataclass(frozen=True)
class Pair:
    """The same view before and after, as WebP files; (width, height) in pixels."""

    before: bytes
    after: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Crop:
    """A part of a photo at 100 %, and why it was chosen."""

    pair: Pair
    reason: str


@dataclass(frozen=True)
class Previews:
    """The whole photo, scaled down, and the parts in which results are compared."""

    whole: Pair
    crops: tuple[Crop, ...]


def take_previews(before: Frame, after: Frame, size: Size) -> Previews:
    """Take the pictures of one photo; `after` may be larger than `before` by a whole number."""
    height, width = after.size
    shrink = min(1.0, size.whole / max(height, width))
    small = max(round(width * shrink), 1), max(round(height * shrink), 1)
    whole = [_scaled(frame.pixels, small) for frame in (before, after)]
    crops = take_crops(before, (before, after), size)
    return Previews(_pair(whole, after, min(size.quality, 85)), crops)


def take_crops(photo: Frame, pictures: tuple[Frame, Frame], size: Size) -> tuple[Crop, ...]:
    """Cut the parts in which results of `photo` are compared from two pictures of it, the second no smaller."""
    scale = pictures[1].size[0] // photo.size[0]
    side = size.crop // scale
    places = places_to_compare(photo.pixels, pictures[1].pixels[::scale, ::scale], side, size.crops)
    crops: list[Crop] = []
    for reason, (top, left) in places.items():
        parts: list[Pixels] = []
        for picture in pictures:
            times = picture.size[0] // photo.size[0]
            rows, columns = (slice(times * at, times * (at + side)) for at in (top, left))
            parts.append(picture.pixels[rows, columns])
        parts[0] = _scaled(parts[0], (parts[1].shape[1], parts[1].shape[0]))
        crops.append(Crop(_pair(parts, pictures[1], size.quality), reason))
    return tuple(crops)


def places_to_compare(before: Pixels, after: Pixels, side: int, most: int = 3) -> dict[str, tuple[int, int]]:
    """Find the squares of about `side` pixels in which results are compared: reason → (top, left).

    They are where the photo changed most, where the result has most detail, and where it is darkest without being
    black. None overlaps an earlier one by more than half; in a small photo there are fewer.
    """
    change, detail, darkness = _block_maps(before, after)
    found: dict[str, tuple[int, int]] = {}
    maps = (("where it changed most", change), ("where it has most detail", detail), ("where it is darkest", darkness))
    for reason, values in maps[:most]:
        place = _best_square(values, before.shape[:2], side, found.values())
        if place is not None:
            found[reason] = place
    return found


def _block_maps(before: Pixels, after: Pixels) -> tuple[NDArray[np.float32], ...]:
    """Return change, detail and darkness of blocks of `_BLOCK` pixels, each (rows, columns), a strip at a time."""
    height, width = before.shape[:2]
    starts = np.arange(0, width, _BLOCK)
    maps = [np.zeros((-(-height // _BLOCK), len(starts)), np.float32) for _ in range(3)]
    for row in range(len(maps[0])):
        strip = slice(row * _BLOCK, (row + 1) * _BLOCK)
        old, new = to_unit(before[strip]), to_unit(after[strip])
        edges = np.abs(np.diff(new, axis=1, append=new[:, -1:]))
        light = np.clip(new.mean(2), 0, 1).mean(0)
        shade = np.where(light < _BLACK, 0, 1 - light)
        for values, columns in zip(maps, (np.abs(new - old).sum((0, 2)), edges.sum((0, 2)), shade), strict=True):
            values[row] = np.add.reduceat(columns, starts)
    return tuple(maps)


def _best_square(
    values: NDArray[np.float32], size: tuple[int, int], side: int, taken: Iterable[tuple[int, int]]
) -> tuple[int, int] | None:
    """Return (top, left) in pixels of the square of blocks with the largest sum, inside a photo of (height, width).

    Squares that overlap one of those that are `taken` by more than half are left out; None if there is no other.
    """
    rows, columns = values.shape
    blocks = max(side // _BLOCK, 1)
    tall, wide = min(blocks, rows), min(blocks, columns)
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(0, np.float64).cumsum(1)
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    tops, lefts = (
        np.clip(np.arange(count) * _BLOCK, 0, max(length - side, 0))
        for count, length in zip(windows.shape, size, strict=True)
    )
    for top, left in taken:
        near = (np.abs(tops - top) <= side // 2)[:, None] & (np.abs(lefts - left) <= side // 2)
        windows[near] = -np.inf
    row, column = np.unravel_index(int(windows.argmax()), windows.shape)
    return None if windows[row, column] == -np.inf else (int(tops[row]), int(lefts[column]))


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Scale to (width, height), averaging where it gets smaller."""
    if pixels.shape[1::-1] == size:
        return pixels
    smaller = size[0] < pixels.shape[1]
    result = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return result.reshape(size[1], size[0], -1).astype(pixels.dtype, copy=False)


def _pair(pictures: list[Pixels], frame: Frame, quality: int) -> Pair:
    icc = frame.metadata.icc
    if icc is None or len(icc) > _LARGEST_PROFILE or icc[16:20] != b"RGB ":
        icc, pictures = None, [srgb_pixels(Frame(picture, metadata=frame.metadata)) for picture in pictures]
    turned = [_upright(_eight_bits(picture), frame) for picture in pictures]
    before, after = (_webp(image, icc, quality) for image in turned)
    return Pair(before, after, turned[0].size)


def _eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    rgb = np.rint(np.clip(to_unit(pixels), 0, 1) * 255).astype(np.uint8)
    return np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb


def _upright(pixels: NDArray[np.uint8], frame: Frame) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    try:
        tree, first = parse_exif(frame.metadata.exif or b"")
        turn = _TURNS.get(tree.number(first.fields.get(ORIENTATION)) or 1)
    except ValueError:
        return image
    return image if turn is None else image.transpose(turn)


def _webp(image: Image.Image, icc: bytes | None, quality: int) -> bytes:
    out = BytesIO()
    image.save(out, "WEBP", quality=quality, lossless=quality == 100, method=2, icc_profile=icc or b"")
    return out.getvalue()

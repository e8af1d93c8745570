"""Small pictures of a photo before and after, for the report. Works on strips, so a large photo costs no copy."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsp_cli.image import Frame, to_unit
from nsp_cli.image.frame import Pixels
from nsp_cli.image.metadata.exif import ORIENTATION, parse_exif

_BLOCK = 32
_LARGEST_PROFILE = 65_536
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
    """Sides of the pictures in pixels, and their quality: fewer where a page holds many."""

    whole: int
    crop: int
    quality: int

    @classmethod
    def for_photos(cls, count: int) -> Self:
        """Choose preview sizes that keep the page below about 100 MB."""
        return cls(1024, 384, 85) if count <= 40 else cls(640, 288, 80) if count <= 400 else cls(320, 160, 75)


@dataclass(frozen=True)
class Pair:
    """The same view before and after, as WebP files; (width, height) in pixels."""

    before: bytes
    after: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Previews:
    """The whole photo, scaled down, and a part at 100 % where it has changed most."""

    whole: Pair
    crop: Pair


def take_previews(before: Frame, after: Frame, size: Size) -> Previews:
    """`after` may be larger than `before` by a whole number."""
    height, width = after.size
    shrink = min(1.0, size.whole / max(height, width))
    small = max(round(width * shrink), 1), max(round(height * shrink), 1)
    whole = [_scaled(frame.pixels, small) for frame in (before, after)]
    scale = height // before.size[0]
    top, left = most_changed(before.pixels, after.pixels[::scale, ::scale], size.crop // scale)
    side = size.crop // scale
    part = before.pixels[top : top + side, left : left + side]
    late = after.pixels[scale * top : scale * (top + side), scale * left : scale * (left + side)]
    crop = [_scaled(part, (late.shape[1], late.shape[0])), late]
    return Previews(_pair(whole, after, size.quality), _pair(crop, after, min(size.quality + 8, 95)))


def most_changed(before: Pixels, after: Pixels, side: int) -> tuple[int, int]:
    """(top, left) of the square of about `side` pixels in which two pictures of one size differ most."""
    height, width = before.shape[:2]
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    change = np.zeros((rows, columns), np.float32)
    starts = np.arange(0, width, _BLOCK)
    for row in range(rows):
        strip = slice(row * _BLOCK, (row + 1) * _BLOCK)
        difference = np.abs(to_unit(after[strip]) - to_unit(before[strip])).sum((0, 2))
        change[row] = np.add.reduceat(difference, starts)
    blocks = max(side // _BLOCK, 1)
    tall, wide = min(blocks, rows), min(blocks, columns)
    sums = np.pad(change, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    best = np.unravel_index(int(windows.argmax()), windows.shape)
    top, left = int(best[0]) * _BLOCK, int(best[1]) * _BLOCK
    return max(min(top, height - side), 0), max(min(left, width - side), 0)


def _scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """To (width, height), averaging where it gets smaller."""
    if pixels.shape[1::-1] == size:
        return pixels
    smaller = size[0] < pixels.shape[1]
    result = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return result.reshape(size[1], size[0], -1).astype(pixels.dtype, copy=False)


def _pair(pictures: list[Pixels], frame: Frame, quality: int) -> Pair:
    turned = [_upright(_eight_bits(picture), frame) for picture in pictures]
    before, after = (_webp(image, frame.metadata.icc, quality) for image in turned)
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
    fits = icc is not None and len(icc) <= _LARGEST_PROFILE and icc[16:20] == b"RGB "
    image.save(out, "WEBP", quality=quality, method=2, icc_profile=icc if fits else b"")
    return out.getvalue()

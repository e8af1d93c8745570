"""Linear DNG, written: demosaiced values in the camera's own colours, which RAW programs develop like the RAW file.

Source: Adobe, Digital Negative (DNG) Specification 1.4. The pixels are not compressed, since LibRaw opens no compressed
`LinearRaw`. The EXIF block comes first in the file, so that the offsets in its maker note stay true.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsp_cli.image.codecs.linear_raw import AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY, CAMERA_MODEL, DNG_VERSION, OPCODES_3
from nsp_cli.image.codecs.tiff_writer import exif_to_extend
from nsp_cli.image.frame import Frame, LinearRaw, Pixels, from_unit
from nsp_cli.image.metadata.exif import EXIF_POINTER, GPS_POINTER, IPTC_TAG, ORIENTATION, STORAGE_TAGS, XMP_TAG
from nsp_cli.image.metadata.icc import SRGB_CURVE
from nsp_cli.image.metadata.ifd import LONG, Entry, append_directory, make_entry

_BYTE, _ASCII, _SHORT, _RATIONAL, _UNDEFINED = 1, 2, 3, 5, 7
_SUB_IFDS = 330  # tag
_NONE, _JPEG = 1, 7  # compression
_GREY, _YCBCR, _LINEAR_RAW = 1, 6, 34892  # photometric interpretation
_WHITE = 65_535  # the level of white in the file
_MOST_BYTES = 4_000_000_000  # offsets have 32 bits, and metadata needs some room
_STRIP_BYTES = 1 << 23  # 8 MiB in a strip; darktable refuses more
_PREVIEW_SIDE = 1024  # pixels


@dataclass(frozen=True)
class _Strips:
    """Places of a picture's strips in the file."""

    rows: int
    offsets: list[int]
    sizes: list[int]


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
    """Write a frame of `linear_raw.demosaic`; `quality` is the preview's. Raises ValueError for what a DNG cannot hold.

    The first directory is the preview's and has the camera's description, the one below it is the photo's.
    """
    linear, metadata = frame.linear_raw, frame.metadata
    if linear is None:
        raise ValueError("it is not a RAW photo")
    if 2 * frame.pixels.size > _MOST_BYTES:
        raise ValueError("it would be larger than 4 GB")
    tree, described, warnings = exif_to_extend(metadata.exif, "DNG")
    order = tree.order
    out = bytearray(tree.data)
    out += bytes(len(out) % 2)
    strips = _append_strips(out, frame.pixels, linear, order)
    main = append_directory(out, order, _main_fields(frame.pixels, linear, strips, order))
    preview = _preview(frame.pixels, linear)
    jpeg, start = _to_jpeg(preview, quality), len(out)
    out += jpeg
    fields = _preview_fields(preview, start, len(jpeg), order)
    fields += _camera_fields(linear, preview.shape[2], order)
    fields.append(make_entry(order, _SUB_IFDS, LONG, (main,)))
    if metadata.xmp is not None:
        fields.append(make_entry(order, XMP_TAG, _BYTE, metadata.xmp))
    if metadata.iptc is not None:
        fields.append(make_entry(order, IPTC_TAG, _UNDEFINED, metadata.iptc))
    written = {tag for tag, *_ in fields} | STORAGE_TAGS - {EXIF_POINTER, GPS_POINTER}
    for field in described.fields.values():
        if field.tag not in written:
            value = field.start if field.length > 4 else tree.raw(field)
            fields.append((field.tag, field.kind, field.count, value))
    struct.pack_into(f"{order}I", out, 4, append_directory(out, order, fields))
    return bytes(out), tuple(warnings)


def _append_strips(out: bytearray, pixels: Pixels, linear: LinearRaw, order: str) -> _Strips:
    """Undo curve and white balance; 65535 is where a channel of the sensor saturates."""
    neutral = np.array(linear.neutral, np.float32)
    rows = min(max(1, _STRIP_BYTES // (2 * pixels[0].size)), len(pixels))
    strips = _Strips(rows, [], [])
    for top in range(0, len(pixels), rows):
        values = SRGB_CURVE.to_linear(pixels[top : top + rows].astype(np.float32, copy=False)) * neutral
        stored = np.clip(np.rint(values * _WHITE), 0, _WHITE).astype(f"{order}u2").tobytes()
        strips.offsets.append(len(out))
        strips.sizes.append(len(stored))
        out += stored
    return strips


def _main_fields(pixels: Pixels, linear: LinearRaw, strips: _Strips, order: str) -> list[Entry]:
    """List the fields of the directory with the linear pixels, (H, W, C); comments name those that DNG adds to TIFF."""
    height, width, channels = pixels.shape
    across, down = width / linear.size[1], height / linear.size[0]  # not 1 where the photo was enlarged
    left, top, crop_width, crop_height = linear.crop
    fields: list[tuple[int, int, Sequence[float]]] = [
        (254, LONG, (0,)),  # NewSubfileType: the photo
        (256, LONG, (width,)),
        (257, LONG, (height,)),
        (258, _SHORT, (16,) * channels),
        (259, _SHORT, (_NONE,)),
        (262, _SHORT, (_LINEAR_RAW,)),
        (273, LONG, strips.offsets),
        (277, _SHORT, (channels,)),
        (278, LONG, (strips.rows,)),
        (279, LONG, strips.sizes),
        (284, _SHORT, (1,)),  # channels of a pixel side by side
        (50714, _SHORT, (0,) * channels),  # BlackLevel
        (50717, _SHORT, (_WHITE,) * channels),  # WhiteLevel
        (50719, LONG, (round(left * across), round(top * down))),  # DefaultCropOrigin
        (50720, LONG, (round(crop_width * across), round(crop_height * down))),  # DefaultCropSize
        *(tag for tag in linear.tags if tag[0] == OPCODES_3),
    ]
    return [make_entry(order, *field) for field in fields]


def _preview_fields(preview: NDArray[np.uint8], start: int, length: int, order: str) -> list[Entry]:
    """List the fields of the directory with the JPEG preview, `length` bytes at `start`."""
    height, width, channels = preview.shape
    fields: list[tuple[int, int, Sequence[float]]] = [
        (254, LONG, (1,)),  # NewSubfileType: a smaller picture of another
        (256, LONG, (width,)),
        (257, LONG, (height,)),
        (258, _SHORT, (8,) * channels),
        (259, _SHORT, (_JPEG,)),
        (262, _SHORT, (_YCBCR if channels == 3 else _GREY,)),
        (273, LONG, (start,)),
        (277, _SHORT, (channels,)),
        (278, LONG, (height,)),
        (279, LONG, (length,)),
        (284, _SHORT, (1,)),
        (50970, LONG, (2 if channels == 3 else 1,)),  # PreviewColorSpace: sRGB, or grey
    ]
    if channels == 3:
        fields += [
            (529, _RATIONAL, (299, 1000, 587, 1000, 114, 1000)),  # YCbCrCoefficients
            (530, _SHORT, (2, 2)),  # YCbCrSubSampling
            (531, _SHORT, (1,)),  # YCbCrPositioning: centred
            (532, _RATIONAL, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),  # ReferenceBlackWhite
        ]
    return [make_entry(order, *field) for field in fields]


def _camera_fields(linear: LinearRaw, channels: int, order: str) -> list[Entry]:
    """List the fields that describe the camera and its colours."""
    fields = [tag for tag in linear.tags if tag[0] != OPCODES_3]
    there = {tag for tag, *_ in fields}
    fields += [(DNG_VERSION, _BYTE, b"\1\4\0\0"), (DNG_VERSION + 1, _BYTE, b"\1\3\0\0")]  # version, oldest reader
    fields.append((ORIENTATION, _SHORT, (linear.orientation,)))
    if CAMERA_MODEL not in there:
        fields.append((CAMERA_MODEL, _ASCII, linear.camera.encode("ascii", "replace") + b"\0"))
    if channels == 3 and not there & {AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY}:
        parts = tuple(part for value in linear.neutral for part in (round(value * 1e6), 10**6))
        fields.append((AS_SHOT_NEUTRAL, _RATIONAL, parts))
    return [make_entry(order, *field) for field in fields]


def _preview(pixels: Pixels, linear: LinearRaw) -> NDArray[np.uint8]:
    """Develop a preview of the photo, at most 1024 pixels wide and high; (H, W, 1 or 3) sRGB."""
    factor = min(1.0, _PREVIEW_SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    light = np.clip(SRGB_CURVE.to_linear(small.astype(np.float32, copy=False)), 0, 1)
    if small.shape[2] == 3:
        light = np.clip(light @ linear.to_srgb.T, 0, 1)
    return from_unit(SRGB_CURVE.from_linear(light), np.uint8).astype(np.uint8, copy=False)


def _to_jpeg(preview: NDArray[np.uint8], quality: int) -> bytes:
    out = BytesIO()
    picture = preview if preview.shape[2] == 3 else preview[:, :, 0]
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()

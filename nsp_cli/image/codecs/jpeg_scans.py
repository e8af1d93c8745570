"""Whether a JPEG has all its pixels: libjpeg fills what is missing with flat blocks, and Pillow hears nothing of it.

A decoder passes over bytes that follow the last block of a scan, and takes them for blocks where some are missing. So
a JPEG that looks the same with and without such bytes has data for every block. That is not to say that they are the
right ones: after a gap the decoder is out of step, and may by chance make as many blocks of less data.
"""

from __future__ import annotations

import re
from io import BytesIO
from itertools import pairwise

import numpy as np
from PIL import JpegImagePlugin

from nsp_cli.image.frame import Pixels

_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # inside a scan, where FF 00 is a byte of data
_PROGRESSIVE, _SCAN, _END, _RESTART_INTERVAL = 0xC2, 0xDA, 0xD9, 0xDD
_HUFFMAN = (0xC0, 0xC1, _PROGRESSIVE)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS, _HIERARCHICAL, _JPEG_LS = (0xC3, 0xCB), (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), 0xF7
_DEEP = (12, 16)  # bits
_RESTARTS = range(0xD0, 0xD8)
_ALONE = (0x01, *_RESTARTS, 0xD8)
_PROBE = bytes(np.random.default_rng(0).integers(0, 255, 96, np.uint8))  # no FF, so no marker
_ONES = b"\xfe"  # libjpeg takes missing bits for zeros, so that even one of them makes a difference
_BLOCK, _CORNER = 8, 4


def unsupported_kind(data: bytes) -> str | None:
    """Return the name of a JPEG's kind that is not read, such as "12 bits"; None for what is read or damaged."""
    for marker, place in _segments(data, 2, until=_SCAN):
        if marker in _FRAMES and place + 3 <= len(data):
            if marker in _LOSSLESS:
                return "a lossless one"
            if marker in _HIERARCHICAL:
                return "a hierarchical one"
            return f"one of {data[place + 2]} bits" if data[place + 2] in _DEEP else None
        if marker == _JPEG_LS:
            return "JPEG-LS"
    return None


def end_of_picture(data: bytes) -> int:
    """Return the place after the end marker of a JPEG's own picture, which further pictures or a video may follow."""
    marker, place = (_segments(data, 2, until=_END) or [(0, len(data))])[-1]
    return place if marker == _END else len(data)


def with_end_marker(data: bytes) -> bytes:
    """Add the end marker to a JPEG that ends without it, or after its first byte."""
    return data.removesuffix(b"\xff") + bytes([0xFF, _END])


def has_every_block(data: bytes, pixels: Pixels, *, strict: bool = False) -> bool:
    """Whether there is data for every block of a JPEG; True where that cannot be told.

    Parameters
    ----------
    data : the file; pixels : (H, W, C) as decoded from it
    strict : also check that the last block has all its bits, and that all scans are there; False where that cannot be
        told. For files whose end marker is missing.
    """
    head = dict(_segments(data, 2, until=_SCAN))
    kind = next((marker for marker in head if marker in _FRAMES), 0)
    if kind not in _HUFFMAN:
        return not strict  # arithmetic coding may leave out zeros at the end
    if strict and not _has_every_scan(data, head[kind]):
        return False
    components, in_first_scan = data[head[kind] + 7], data[head[_SCAN] + 2]
    one_stretch = kind != _PROGRESSIVE and components == in_first_scan and _RESTART_INTERVAL not in head
    if not strict and one_stretch and not _ends_flat(pixels):
        return True
    scans = [_within_scan(data, place) for marker, place in _segments(data, 2, until=_END) if marker == _SCAN]
    if not all(_in_order([marker for _, marker in ends]) for ends in scans):
        return False
    probe = _ONES + _PROBE if strict else _PROBE
    return np.array_equal(_decoded(_with_probes(data, [place for ends in scans for place, _ in ends], probe)), pixels)


def _has_every_scan(data: bytes, frame: int) -> bool:
    """Whether all coefficients of all components have been coded to their last bit; `frame` is its header's place."""
    wanted = {data[frame + 8 + 3 * index] for index in range(data[frame + 7])}
    coded: dict[int, set[int]] = {component: set() for component in wanted}
    for marker, place in _segments(data, 2, until=_END):
        if marker == _SCAN:
            count = data[place + 2]
            first, last, bits = data[place + 3 + 2 * count : place + 6 + 2 * count]
            if bits & 15 == 0:
                for component in data[place + 3 : place + 3 + 2 * count : 2]:
                    coded.setdefault(component, set()).update(range(first, last + 1))
    return all(coded[component] >= set(range(_BLOCK**2)) for component in wanted)


def _ends_flat(pixels: Pixels) -> bool:
    """Test whether the last block has a single colour, as a missing one has.

    Without restart markers, the last block is missing if any is.
    """
    height, width = pixels.shape[:2]
    rows, columns = (max((side - 1) // _BLOCK * _BLOCK, side - _CORNER) for side in (height, width))
    return bool(np.ptp(pixels[rows:, columns:], axis=(0, 1)).max() == 0)


def _segments(data: bytes, at: int, until: int) -> list[tuple[int, int]]:
    """(marker, place of its length) of the segments from `at` to the first `until`, which is the last of them."""
    found: list[tuple[int, int]] = []
    while (match := _MARKER.search(data, at)) is not None:
        marker, at = match[1][0], match.end()
        found.append((marker, at))
        if marker in (until, _END):
            break
        at += 0 if marker in _ALONE else int.from_bytes(data[at : at + 2], "big")
    return found


def _within_scan(data: bytes, place: int) -> list[tuple[int, int]]:
    """(place, marker) at the end of each stretch of coded blocks in the scan whose header is at `place`."""
    ends: list[tuple[int, int]] = []
    at = place + int.from_bytes(data[place : place + 2], "big")
    while (match := _MARKER.search(data, at)) is not None:
        ends.append((match.start(), match[1][0]))
        if match[1][0] not in _RESTARTS:
            break
        at = match.end()
    return ends


def _in_order(markers: list[int]) -> bool:
    """Restart markers count up from the first to the last, before the marker that ends the scan."""
    return markers[:-1] == [_RESTARTS[number % len(_RESTARTS)] for number in range(len(markers) - 1)]


def _with_probes(data: bytes, places: list[int], probe: bytes) -> bytes:
    return probe.join(data[start:end] for start, end in pairwise([0, *places, len(data)]))


def _decoded(data: bytes) -> Pixels:
    pixels = np.array(JpegImagePlugin.JpegImageFile(BytesIO(data)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]

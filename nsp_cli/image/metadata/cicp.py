"""Colours that a file describes by numbers (nclx of AVIF, cICP, cHRM and gAMA of PNG), as an ICC profile.

Sources: ITU-T H.273 (code points), PNG 3rd edition, ICC.1:2022, Bradford's matrix as in Annex E of it.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import InputError
from nsp_cli.image.metadata.icc import SRGB_CURVE, Parametric

Point = tuple[float, float]
"""Chromaticity (x, y)."""
Chromaticities = tuple[Point, Point, Point, Point]
"""Chromaticities of red, green, blue and white."""

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_D50_XYZ = np.array([0.9642, 1.0, 0.8249])  # of the profile connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB: Chromaticities = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_SMPTE_C: Chromaticities = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
_UNSPECIFIED = (0, 2, 3)
_PRIMARIES: dict[int, Chromaticities] = {
    **dict.fromkeys((1, *_UNSPECIFIED), SRGB),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: (*_P3, (0.314, 0.351)),
    12: (*_P3, _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_BT709 = Parametric(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_TRANSFERS: dict[int, Parametric] = {
    **dict.fromkeys((13, *_UNSPECIFIED), SRGB_CURVE),
    **dict.fromkeys((1, 6, 11, 14, 15), _BT709),
    4: Parametric(2.2),
    5: Parametric(2.8),
    8: Parametric(1.0),
}
_HDR = {16: "PQ", 18: "HLG"}
_SAME_POINT = 0.0015  # chromaticities are rounded to three or four digits


def profile_of_codes(primaries: int, transfer: int, *, grey: bool) -> bytes | None:
    """Return the ICC profile of H.273's numbers for primaries and transfer function, None for sRGB.

    Raises InputError for colours that have no such profile: HDR (PQ and HLG) and rare ones.
    """
    if transfer in _HDR:
        raise InputError(f"HDR ({_HDR[transfer]}) is not supported: export the photo in SDR first")
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise InputError(
            f"colours with primaries {primaries} and transfer function {transfer} of H.273 are not supported: convert "
            "the photo to sRGB first"
        )
    return profile_of_points(_PRIMARIES[primaries], _TRANSFERS[transfer], grey=grey)


def profile_of_points(points: Chromaticities, tone: Parametric, *, grey: bool) -> bytes | None:
    """Return the ICC profile (version 4) of chromaticities and a tone curve, None for sRGB.

    Raises ValueError where the chromaticities make no colours. A grey profile is of the tone curve alone.
    """
    same = np.abs(np.array(points) - np.array(SRGB)).max() < _SAME_POINT
    if tone == SRGB_CURVE and (same or grey):
        return None
    curve = b"para" + bytes(4) + struct.pack(">Hxx", 3 if tone.d else 0) + _curve_numbers(tone)
    tags = {b"desc": _text("Colours as described in the photo's file"), b"cprt": _text("Public domain")}
    tags[b"wtpt"] = _xyz(_D50_XYZ)
    if grey:
        tags[b"kTRC"] = curve
    else:
        matrix, adaptation = _rgb_to_xyz(points)
        tags[b"chad"] = b"sf32" + bytes(4) + _fixed(adaptation.ravel())
        for index, name in enumerate(b"rgb"):
            tags[bytes([name]) + b"XYZ"] = _xyz(matrix[:, index])
            tags[bytes([name]) + b"TRC"] = curve
    return _profile(tags, b"GRAY" if grey else b"RGB ")


def _rgb_to_xyz(points: Chromaticities) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrices (3, 3) from linear RGB to XYZ relative to D50, and from the white point to D50."""
    if any(y <= 0 for _, y in points):
        raise ValueError("a chromaticity has no light")
    columns = np.stack([_point_xyz(point) for point in points], axis=1)
    primaries, white = columns[:, :3], columns[:, 3]
    if abs(np.linalg.det(primaries)) < 1e-3:
        raise ValueError("its primaries make no colours")
    scale = np.diag(_BRADFORD @ _D50_XYZ / (_BRADFORD @ white))
    adaptation = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD
    return adaptation @ primaries * np.linalg.solve(primaries, white), adaptation


def _point_xyz(point: Point) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _curve_numbers(tone: Parametric) -> bytes:
    return _fixed((tone.g, tone.a, tone.b, tone.c, tone.d) if tone.d else (tone.g,))


def _fixed(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def _profile(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """Build an ICC profile from its tags; equal tags are stored once."""
    start, places, bodies = 132 + 12 * len(tags), dict[bytes, int](), b""
    table = struct.pack(">I", len(tags))
    for name, body in tags.items():
        if body not in places:
            places[body] = start + len(bodies)
            bodies += body + bytes(-len(body) % 4)
        table += struct.pack(">4sII", name, places[body], len(body))
    head = struct.pack(">I4xI4s4s4s", start + len(bodies), 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(_D50_XYZ)
    return head.ljust(128, b"\0") + table + bodies

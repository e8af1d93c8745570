"""ICC profiles that are three primaries and their tone curves, or one grey curve, read to the last bit.

Display P3, Adobe RGB, ProPhoto, what cameras and phones write, and most monitors' profiles are of this kind. They are
read here, because what lies outside sRGB's gamut must come back: LittleCMS 2.18 extends its curves below black on the
way to sRGB and cuts at black on the way back, loses 3e-4 on the round trip, and takes 60 times as long.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

_GREY, _RGB, _XYZ, _LOOKUP_TABLE = b"GRAY", b"RGB ", b"XYZ ", b"A2B0"
_PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
_FAR = 1000.0
"""Factor above white up to which a table curve is extrapolated linearly."""


class Curve(Protocol):
    """A tone curve of a profile.

    Both directions take float32 arrays of any shape, white = 1, and also values beyond [0, 1].
    """

    def to_linear(self, encoded: Values) -> Values:
        """Decode values to linear light."""
        ...

    def from_linear(self, linear: Values) -> Values:
        """Encode linear light."""
        ...


@dataclass(frozen=True)
class Parametric:
    """``(a·x + b)^g + e`` from `d` on, ``c·x + f`` below it; ICC.1:2022, table 68. Below 0 it is mirrored at f(0)."""

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0

    def __post_init__(self) -> None:
        if not (self.g > 0 and self.a > 0 and self.c >= 0 and self.a * self.d + self.b >= -1e-4 and self.d < 1):
            raise ValueError("its tone curve does not rise")

    def to_linear(self, encoded: Values) -> Values:
        """Decode values to linear light."""
        size = np.abs(encoded)
        linear = np.maximum(self.a * size + self.b, 0) ** np.float32(self.g) + np.float32(self.e)
        if self.d > 0:
            linear = np.where(size >= self.d, linear, self.c * size + self.f)
        return np.where(encoded < 0, 2 * self._black - linear, linear).astype(np.float32, copy=False)

    def from_linear(self, linear: Values) -> Values:
        """Encode linear light."""
        size = self._black + np.abs(linear - self._black)
        encoded = (np.maximum(size - self.e, 0) ** np.float32(1 / self.g) - self.b) / np.float32(self.a)
        if self.d > 0:
            below = (size - self.f) / self.c if self.c > 0 else np.float32(self.d)
            encoded = np.where(size >= self._knee, encoded, below)
        return np.where(linear < self._black, -encoded, encoded).astype(np.float32, copy=False)

    @property
    def _black(self) -> np.float32:
        return np.float32(self.f if self.d > 0 else max(self.b, 0) ** self.g + self.e)

    @property
    def _knee(self) -> np.float32:
        return np.float32(max(self.a * self.d + self.b, 0) ** self.g + self.e)


SRGB_CURVE = Parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


class Table:
    """Equally spaced samples joined by straight lines, mirrored below 0, straight on above 1."""

    def __init__(self, samples: NDArray[np.float64]) -> None:
        rising = np.maximum.accumulate(samples)
        if np.abs(rising - samples).max() > 1e-3 or rising[-1] - rising[0] < 0.1:
            raise ValueError("its tone curve does not rise")
        slope = max((rising[-1] - rising[-2]) * (len(samples) - 1), 0.1)
        self._x = np.append(np.linspace(0, 1, len(samples)), 1 + _FAR)
        self._y = np.append(rising, rising[-1] + _FAR * slope)

    def to_linear(self, encoded: Values) -> Values:
        """Decode values to linear light."""
        linear = np.interp(np.abs(encoded), self._x, self._y)
        return np.where(encoded < 0, 2 * self._y[0] - linear, linear).astype(np.float32)

    def from_linear(self, linear: Values) -> Values:
        """Encode linear light."""
        black = self._y[0]
        encoded = np.interp(black + np.abs(linear - black), self._y, self._x)
        return np.where(linear < black, -encoded, encoded).astype(np.float32)


@dataclass(frozen=True)
class Profile:
    """Contents of a profile without look-up tables.

    Attributes
    ----------
    curves : tuple of Curve
        One for grey, three for RGB.
    matrix : ndarray or None
        (3, 3) linear RGB to XYZ relative to D50, or None for grey.
    """

    curves: tuple[Curve, ...]
    matrix: NDArray[np.float64] | None


def parse_profile(icc: bytes) -> Profile | None:
    """Read a matrix or grey profile; None for an RGB profile that has look-up tables alone.

    Raises
    ------
    ValueError
        The profile is damaged, is for other colours than grey and RGB, or describes them otherwise.
    """
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise ValueError("it is not an ICC profile")
    space, connection = icc[16:20], icc[20:24]
    if space not in (_GREY, _RGB):
        raise ValueError(f"it is for {space.decode('latin-1').strip()} pictures")
    tags = _tags(icc)
    names = (b"kTRC",) if space == _GREY else (b"rTRC", b"gTRC", b"bTRC")
    if connection != _XYZ or not tags.keys() >= set(names):
        if space == _GREY:
            raise ValueError("it describes grey by look-up tables or relative to L*, which nsp does not convert")
        if _LOOKUP_TABLE not in tags:
            raise ValueError("it has neither primaries nor look-up tables")
        return None
    curves = tuple(_curve(tags[name]) for name in names)
    if curves[1:] and tags[b"rTRC"] == tags[b"gTRC"] == tags[b"bTRC"]:
        curves = (curves[0],) * 3
    if space == _GREY:
        return Profile(curves, None)
    matrix = np.stack([_xyz(tags.get(name, b"")) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    if abs(np.linalg.det(matrix)) < 1e-3:
        raise ValueError("its primaries make no colours")
    return Profile(curves, matrix)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    if 132 + 12 * count > len(icc):
        raise ValueError("it is cut off")
    table = [struct.unpack_from(">4sII", icc, 132 + 12 * index) for index in range(count)]
    return {name: icc[start : start + length] for name, start, length in table}


def _xyz(body: bytes) -> NDArray[np.float64]:
    if len(body) < 20 or body[:4] != _XYZ:
        raise ValueError("a primary is missing")
    return np.array(struct.unpack_from(">3i", body, 8)) / 65536


def _curve(body: bytes) -> Curve:
    """Parse a tone curve, `para` or `curv`. Raises ValueError if it is damaged or does not rise."""
    try:
        if body[:4] == b"para":
            (kind,) = struct.unpack_from(">H", body, 8)
            names = _PARAMETERS[kind]
            values = [value / 65536 for value in struct.unpack_from(f">{len(names)}i", body, 12)]
            return _parametric(kind, dict(zip(names, values, strict=True)))
        (count,) = struct.unpack_from(">I", body, 8)
        if body[:4] != b"curv" or count > len(body):
            raise ValueError("a tone curve is damaged")
        samples = struct.unpack_from(f">{count}H", body, 12)
    except (struct.error, KeyError) as error:
        raise ValueError("a tone curve is damaged") from error
    if count < 2:
        return Parametric(samples[0] / 256 if samples else 1.0)
    return Table(np.array(samples) / 65535)


def _parametric(kind: int, values: dict[str, float]) -> Parametric:
    """Build a curve of a kind of `para`: kinds 1 and 2 have the knee at -b/a, and add `c` everywhere."""
    if kind in (1, 2):
        if not values["a"]:
            raise ValueError("its tone curve does not rise")
        base = values.pop("c", 0.0)
        values |= {"d": -values["b"] / values["a"], "e": base, "f": base}
    return Parametric(**values)

"""ICC profiles of look-up tables, as scanners, printers and cameras have them, through LittleCMS.

LittleCMS, in the optional package imagecodecs, converts to sRGB. Its way back is not used: profiles of scanners and
cameras have none, and those of printers cut at their gamut. The way back is Newton's method from the stored value, so
that a pixel which is not changed stays as it is, whatever its colour. It works in sRGB's curve over the device's own
primaries, where colours and stored values are nearly the same: a few steps are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.metadata.icc import SRGB_CURVE, Values

INSTALL = "install imagecodecs with: pip install imagecodecs"

_NODES = 33
"""Places along each axis where slopes are measured; those of a grey ramp are equally far apart in working values."""
_RAMP = 1025  # greys of the ramp
_LEAST_SLOPE = 0.1  # of the ramp, so that flat parts of a profile get some places too
_DAMPING = 1e-3  # squared slope below which a step of Newton's method is shortened
_STEPS = 4  # of Newton's method, at most
_MOST = 4.0  # sRGB: no device has colours beyond it
_CLOSE = 1e-4  # working values: a colour that is missed by less is found
_BLOCK = 1 << 17  # pixels converted at once; LittleCMS parses the profile for each block
_SRGB_WHITE, _SRGB_PRIMARIES = (0.3127, 0.3290), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_RELATIVE_COLORIMETRIC = 1  # ICC's number of the rendering intent
_DEVICES = (b"scnr", b"mntr", b"prtr", b"spac")


@lru_cache(maxsize=4)
def lookup_space(icc: bytes) -> LookupSpace:
    """Return the colours of an RGB profile that has look-up tables.

    Raises
    ------
    ValueError
        imagecodecs is not installed, or the profile is damaged or makes no colours.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise ValueError(f"it describes its colours by look-up tables: {INSTALL}") from error
    if icc[12:16] not in _DEVICES:
        raise ValueError("it describes no device's colours")
    space = LookupSpace(
        icc, imagecodecs.cms_profile("rgb", whitepoint=_SRGB_WHITE, primaries=_SRGB_PRIMARIES, gamma=1.0)
    )
    try:
        lowest, highest = space.limits
    except imagecodecs.CmsError as error:
        raise ValueError("LittleCMS cannot use its look-up tables") from error
    if not -_MOST < lowest < highest < _MOST or abs(np.linalg.det(space.primaries)) < 1e-3:
        raise ValueError("its look-up tables make no colours")
    return space


@dataclass(frozen=True, eq=False)
class LookupSpace:
    """The colours of a profile with look-up tables; stored values beyond [0, 1] have the colours of 0 or 1.

    Attributes
    ----------
    icc : bytes
        The profile.
    linear : bytes
        A profile of linear sRGB.
    """

    icc: bytes
    linear: bytes

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value in sRGB encoding."""
        corners = self.to_srgb(np.array(list(product((0, 1), repeat=3)), np.float32)[None])
        return min(float(corners.min()), 0.0), max(float(corners.max()), 1.0)

    @cached_property
    def primaries(self) -> NDArray[np.float32]:
        """(3, 3) linear sRGB of the device's red, green and blue, less its black, as columns."""
        black, *colours = self._light(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32))
        return (np.array(colours) - black).T

    def to_srgb(self, pixels: Values) -> Values:
        """Convert stored values (H, W, 3), white = 1, to sRGB encoding; colours outside its gamut leave [0, 1]."""
        out = np.empty(pixels.shape, np.float32)
        for block, into in _blocks(pixels, out):
            into[:] = SRGB_CURVE.from_linear(self._light(block))
        return out

    def restore(self, colours: Values, near: Values, before: Values | None = None) -> Values:
        """Return the stored values of (H, W, 3) colours in sRGB encoding.

        Parameters
        ----------
        near : Values
            Stored values from which they are searched; these are returned where `colours` equal `before`. Where they
            lie beyond [0, 1], the result is as far beyond.
        before : Values, optional
            `near` in sRGB encoding; None to convert it here.
        """
        out = np.empty(near.shape, np.float32)
        before = self.to_srgb(near) if before is None else before
        for colour, start, known, into in _blocks(colours, near, before, out):
            goal, here = (self._working(SRGB_CURVE.to_linear(values)) for values in (colour, known))
            into[:] = start + self._change(start, here, goal)
        return out

    def _change(self, near: Values, here: Values, goal: Values) -> Values:
        """Return the change of stored values, (N, 3), for one from `here` to `goal` in working values.

        Steps of Newton's method that do not come closer are halved.
        """
        start = np.clip(near, 0, 1)
        stored, missing = start.copy(), goal - here
        share = np.ones((len(near), 1), np.float32)
        for _ in range(_STEPS):
            far = np.flatnonzero(_squared(missing) > _CLOSE**2)
            if not far.size:
                break
            step = np.einsum("nij,nj->ni", self._slopes_at(stored[far]), missing[far])
            trial = np.clip(stored[far] + share[far] * step, 0, 1)
            left = goal[far] - self._working(self._light(trial))
            better = _squared(left) < _squared(missing[far])
            share[far[~better]] /= 2
            stored[far[better]], missing[far[better]] = trial[better], left[better]
        return stored - start

    def _light(self, stored: Values) -> Values:
        """Convert (N, 3) to linear sRGB."""
        import imagecodecs

        light = imagecodecs.cms_transform(
            np.ascontiguousarray(np.clip(stored, 0, 1)[None]),
            self.icc,
            self.linear,
            colorspace="rgb",
            outcolorspace="rgb",
            outdtype="float32",
            intent=_RELATIVE_COLORIMETRIC,
        )
        return light[0]

    def _working(self, light: Values) -> Values:
        """Convert linear sRGB (N, 3) to working values, which are near the stored ones."""
        return SRGB_CURVE.from_linear(light @ np.linalg.inv(self.primaries).astype(np.float32).T)

    @cached_property
    def _nodes(self) -> NDArray[np.floating]:
        """Return the stored values of the nodes, (_NODES,), from 0 to 1."""
        ramp = np.linspace(0, 1, _RAMP)
        greys = self._working(self._light(np.repeat(ramp[:, None], 3, axis=1).astype(np.float32)))
        spacing = np.maximum.accumulate(greys.mean(1, dtype=np.float64)) + _LEAST_SLOPE * ramp
        return np.interp(np.linspace(spacing[0], spacing[-1], _NODES), spacing, ramp)

    @cached_property
    def _slopes(self) -> Values:
        """(_NODES³, 3, 3): change of stored for a change of working values, damped where these hardly change."""
        stored = np.stack(np.meshgrid(*[self._nodes] * 3, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
        table = self._working(self._light(stored)).astype(np.float64).reshape(*[_NODES] * 3, 3)
        jacobian = np.stack([np.gradient(table, self._nodes, axis=axis) for axis in range(3)], -1).reshape(-1, 3, 3)
        across = jacobian.swapaxes(1, 2)
        return np.linalg.solve(across @ jacobian + _DAMPING * np.eye(3), across).astype(np.float32)

    def _slopes_at(self, stored: Values) -> Values:
        nearest = np.rint(np.interp(stored, self._nodes, np.arange(_NODES))).astype(np.intp)
        return self._slopes[(nearest[:, 0] * _NODES + nearest[:, 1]) * _NODES + nearest[:, 2]]


def _squared(vectors: Values) -> Values:
    """Return the squared lengths of vectors (N, 3)."""
    return np.einsum("ni,ni->n", vectors, vectors)


def _blocks(*images: Values) -> Iterator[tuple[Values, ...]]:
    """Split images of one size into views of (N, 3) values."""
    flat = [image.reshape(-1, 3) for image in images]
    for start in range(0, len(flat[0]), _BLOCK):
        yield tuple(image[start : start + _BLOCK] for image in flat)

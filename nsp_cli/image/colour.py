"""A photo's colours to sRGB encoding, in which networks work, and back.

Nothing is cut at the gamut's border: a colour that sRGB cannot show has values below 0 or above 1 there, on sRGB's
curve mirrored at black, and comes back as it was. Pixels are converted one by one, so tiles agree with the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.frame import Frame, Metadata, Pixels, to_unit
from nsp_cli.image.lookup import LookupSpace, lookup_space
from nsp_cli.image.metadata.cicp import profile_of_points
from nsp_cli.image.metadata.exif import EXIF_POINTER, INTEROP_POINTER, parse_exif
from nsp_cli.image.metadata.icc import SRGB_CURVE, Curve, Parametric, Profile, Values, parse_profile

_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_ADOBE_TO_XYZ = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
_ADOBE_CURVE = Parametric(563 / 256)
_ADOBE_RGB = Profile((_ADOBE_CURVE,) * 3, _ADOBE_TO_XYZ)
_ADOBE_POINTS = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290))  # Adobe RGB (1998), 4.3.1.1
_INTEROP_INDEX, _ADOBE_INDEX = 1, b"R03"
"""DCF 2.0: how a camera marks an Adobe RGB photo that it writes without a profile."""

SRGB_LIMITS = (0.0, 1.0)
_SAME = 1 / 255
"""A profile that differs less from sRGB on all colours is sRGB, written by other rounding."""
_BLOCK_VALUES = 1 << 18
"""Converted at once: fits a processor's cache, and bounds what a large tile costs."""


@dataclass(frozen=True)
class ColourSpace:
    """The colours that a photo is stored in, where these are not sRGB.

    Attributes
    ----------
    curves : tuple of Curve
        One for each channel.
    matrix : ndarray or None
        (3, 3) linear RGB to linear sRGB, or None for grey.
    """

    curves: tuple[Curve, ...]
    matrix: NDArray[np.float32] | None

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value in sRGB encoding of all the colours between this space's black and white."""
        corners = np.array(list(product((0, 1), repeat=len(self.curves))), np.float32)[None]
        reached = self.to_srgb(corners)
        return min(float(reached.min()), SRGB_LIMITS[0]), max(float(reached.max()), SRGB_LIMITS[1])

    def to_srgb(self, pixels: Values) -> Values:
        """Convert values (H, W, C) of this space, white = 1, to sRGB encoding.

        Colours outside the gamut of sRGB have values outside [0, 1].
        """

        def convert(block: Values) -> Values:
            linear = self._each(block, "to_linear")
            return SRGB_CURVE.from_linear(linear if self.matrix is None else linear @ self.matrix.T)

        return _by_blocks(convert, pixels)

    def from_srgb(self, pixels: Values) -> Values:
        """Convert sRGB to this space: the inverse of `to_srgb`."""
        inverse = None if self.matrix is None else np.linalg.inv(self.matrix.astype(np.float64)).astype(np.float32)

        def convert(block: Values) -> Values:
            linear = SRGB_CURVE.to_linear(block)
            return self._each(linear if inverse is None else linear @ inverse.T, "from_linear")

        return _by_blocks(convert, pixels)

    def restore(self, colours: Values, near: Values, before: Values | None = None) -> Values:
        """Return the stored values of (H, W, C) colours in sRGB encoding, as `LookupSpace.restore` does.

        With `before`, which is `near` in sRGB encoding, the change alone is converted and added to `near`.
        """
        back = self.from_srgb(colours)
        return back if before is None else (near + (back - self.from_srgb(before))).astype(np.float32)

    def _each(self, block: Values, direction: str) -> Values:
        if all(curve is self.curves[0] for curve in self.curves):
            return getattr(self.curves[0], direction)(block)
        channels = [getattr(curve, direction)(block[..., i]) for i, curve in enumerate(self.curves)]
        return np.stack(channels, axis=-1)


def _by_blocks(convert: Callable[[Values], Values], pixels: Values) -> Values:
    out = np.empty(pixels.shape, np.float32)
    flat_in, flat_out = pixels.reshape(-1, pixels.shape[-1]), out.reshape(-1, pixels.shape[-1])
    step = max(1, _BLOCK_VALUES // pixels.shape[-1])
    for start in range(0, len(flat_in), step):
        flat_out[start : start + step] = convert(flat_in[start : start + step])
    return out


Space = ColourSpace | LookupSpace


def colour_space(metadata: Metadata, channels: int) -> tuple[Space | None, tuple[str, ...]]:
    """Determine a photo's colour space from its ICC profile, or else from EXIF's mark for Adobe RGB.

    Parameters
    ----------
    channels : int
        1 or 3, those of the photo, which a profile may contradict.

    Returns
    -------
    tuple[Space | None, tuple[str, ...]]
        None for sRGB, for a photo without a profile, and for a profile that cannot be used; and a sentence on the last.
    """
    try:
        return _space(metadata, channels), ()
    except ValueError as error:
        return None, (f"The colour profile is kept but not used, {error}; the photo is denoised as sRGB.",)


def adobe_profile(metadata: Metadata, channels: int) -> bytes | None:
    """Return an ICC profile for a photo that only EXIF marks as Adobe RGB; None for all others."""
    if metadata.icc is not None or channels != 3 or not _marked_as_adobe(metadata.exif):
        return None
    return profile_of_points(_ADOBE_POINTS, _ADOBE_CURVE, grey=False)


def conversion(frame: Frame) -> Callable[[Values], Values] | None:
    """Build the function from a photo's values (…, C), white = 1, to sRGB; None if they are sRGB or unknown."""
    space, _ = colour_space(frame.metadata, frame.pixels.shape[2])
    return None if space is None else space.to_srgb


def srgb_pixels(frame: Frame) -> Pixels:
    """Return a photo's pixels (H, W, C) in sRGB encoding.

    They are as stored where that is sRGB or unknown, else float32; floats are clipped to `SRGB_LIMITS`.
    """
    to_srgb = conversion(frame)
    pixels = frame.pixels if to_srgb is None else to_srgb(to_unit(frame.pixels))
    return np.clip(pixels, *SRGB_LIMITS) if pixels.dtype == np.float32 else pixels


def _space(metadata: Metadata, channels: int) -> Space | None:
    """Determine the colour space, None for sRGB. Raises ValueError for a profile that cannot be used."""
    if metadata.icc is None:
        profile = _ADOBE_RGB if channels == 3 and _marked_as_adobe(metadata.exif) else None
    else:
        profile = parse_profile(metadata.icc)
        if profile is None:
            if channels == 1:
                raise ValueError("it is for RGB pictures")
            return lookup_space(metadata.icc)
        profile = _for_channels(profile, channels)
    if profile is None:
        return None
    space = ColourSpace(profile.curves, _to_linear_srgb(profile.matrix))
    return None if _is_srgb(space) else space


def _for_channels(profile: Profile, channels: int) -> Profile:
    if channels == 1 and len(profile.curves) == 3:  # equal channels of its RGB, as programs convert to grey
        return Profile(profile.curves[1:2], None)
    if channels != len(profile.curves):
        raise ValueError("it is for grey pictures")
    return profile


def _marked_as_adobe(exif: bytes | None) -> bool:
    """Return whether EXIF marks the photo as Adobe RGB (DCF 2.0)."""
    if exif is None:
        return False
    try:
        tree, first = parse_exif(exif)
    except ValueError:
        return False
    sub = tree.child(first, EXIF_POINTER)
    interop = tree.child(sub, INTEROP_POINTER) if sub else None
    index = interop.fields.get(_INTEROP_INDEX) if interop else None
    return index is not None and tree.raw(index)[:3] == _ADOBE_INDEX


def _to_linear_srgb(matrix: NDArray[np.float64] | None) -> NDArray[np.float32] | None:
    if matrix is None:
        return None
    relative = np.linalg.inv(_SRGB_TO_XYZ) @ matrix
    white = relative.sum(axis=1, keepdims=True)
    # Profiles round to 16 bits; a white that is meant to be D50 must not tint the greys.
    return (relative / white if np.abs(white - 1).max() < 0.01 else relative).astype(np.float32)


def _is_srgb(space: ColourSpace) -> bool:
    steps = np.linspace(0, 1, 18 if space.matrix is not None else 256, dtype=np.float32)
    axes = [steps] * len(space.curves)
    samples = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, len(axes))
    return bool(np.abs(space.to_srgb(samples) - samples).max() < _SAME)

"""The eight orientations of a photo: 0 to 3 are quarter turns to the left, 4 to 7 the same and then a mirror image.

Of a tensor the last two dimensions are turned, of an array the first two.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from nsp_cli.image.frame import Pixels

ORIENTATIONS = 8
"""Number of orientations of a photo: four rotations, each with and without a mirror image."""

FLIPS_FIRST = (0, 4, 6, 2, 7, 1, 3, 5)
"""All orientations, those without a transposition first: upright, flipped left and right, top and bottom, both."""


def orient(photo: Tensor, orientation: int) -> Tensor:
    """Rotate and flip photos (..., H, W) to one of the eight orientations."""
    dims, transposes = _steps(orientation)
    photo = photo.flip(dims) if dims else photo
    return photo.transpose(-2, -1) if transposes else photo


def to_upright(photo: Tensor, orientation: int) -> Tensor:
    """Invert `orient`."""
    dims, transposes = _steps(orientation)
    photo = photo.transpose(-2, -1) if transposes else photo
    return photo.flip(dims) if dims else photo


def orient_array(photo: Pixels, orientation: int) -> Pixels:
    """Rotate and flip a photo (H, W, C) to one of the eight orientations."""
    rotated = np.rot90(photo, orientation % 4)
    return rotated[:, ::-1] if orientation >= 4 else rotated


def array_to_upright(photo: Pixels, orientation: int) -> Pixels:
    """Invert `orient_array`."""
    return np.rot90(photo[:, ::-1] if orientation >= 4 else photo, -(orientation % 4))


def _steps(orientation: int) -> tuple[list[int], bool]:
    """Return the dimensions to flip, and whether these are then exchanged."""
    bits = FLIPS_FIRST.index(orientation)
    return [dim for dim, bit in ((-1, 1), (-2, 2)) if bits & bit], bits >= 4

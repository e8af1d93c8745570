"""Cutting a photo into tiles whose results fit together without a seam: plain integers, no framework.

A tile is a region of the photo, its origin a multiple of the pipeline's `multiple`, so that every tile sees the same PD
phases as the whole photo. It is read with a halo that covers the receptive field, clipped at the photo's border: there
the pipeline meets the border just as it does when it gets the whole photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import UsageError
from nsp_cli.model.spec import SMALLEST, PipelineSpec

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Region:
    """A rectangle of photo pixels, from (top, left) up to and without (bottom, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> Slices:
        """Return row and column slices of the region."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def with_halo(self, halo: int, height: int, width: int) -> Region:
        """Extend the region by `halo` pixels on each side, clipped at the photo's edges."""
        return Region(
            max(self.top - halo, 0),
            max(self.left - halo, 0),
            min(self.bottom + halo, height),
            min(self.right + halo, width),
        )

    def inside(self, outer: Region) -> Region:
        """Convert the region to the coordinates of `outer`, which contains it."""
        return Region(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def scaled(self, scale: int) -> Region:
        """Scale the region's coordinates by an integer factor."""
        return Region(self.top * scale, self.left * scale, self.bottom * scale, self.right * scale)

    def split(self, height: int, width: int = 0) -> Iterator[Region]:
        """Cut into regions of at most height × width pixels, row by row; without a width into squares."""
        width = width or height
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width):
                yield Region(top, left, min(top + height, self.bottom), min(left + width, self.right))

    def split_evenly(self, side: int, multiple: int) -> Iterator[Region]:
        """Cut into as few regions of at most side × side pixels as there can be, of about the same size, row by row.

        Their origins are multiples of `multiple`, as `side` and the region's own origin are.
        """
        lengths = (self.bottom - self.top, self.right - self.left)
        return self.split(*(-(-length // (-(-length // side) * multiple)) * multiple for length in lengths))


MOST_BYTES = 10**9
"""Largest memory of one tile in bytes: a photo of 100 megapixels then stays under three times its own float32 size."""


def min_side_in_low_memory(spec: PipelineSpec) -> int:
    """Return the side in pixels to which tiles are halved at most when the memory runs out."""
    return max(spec.multiple * 8, 32)


def min_given_side(spec: PipelineSpec) -> int:
    """Return the smallest side that a caller may give: half a halo, which costs 25 times the photo's own pixels."""
    return -(-spec.halo // (2 * spec.multiple)) * spec.multiple


def round_tile(side: int, spec: PipelineSpec) -> int:
    """Round `side` down to a valid tile side, in pixels."""
    return max(side // spec.multiple * spec.multiple, spec.multiple)


def choose_tile(spec: PipelineSpec, free_bytes: int, largest: int = 1024) -> int:
    """Choose the largest tile side that, with its halo, uses a third of the free memory or `MOST_BYTES`.

    A pipeline whose result depends on its tile has one of its own. For the others, larger tiles waste less on the halo;
    above `largest` the gain is below the noise of a measurement (`benchmarks/inference.py`) and memory only grows.
    """
    if spec.tile:
        return spec.tile
    budget = min(free_bytes / 3, MOST_BYTES)
    side = int((budget / spec.working_bytes) ** 0.5) - 2 * spec.halo
    return round_tile(max(min(side, largest), min_side_in_low_memory(spec), min_given_side(spec)), spec)


def side_of(tile: int, spec: PipelineSpec, free_bytes: int) -> tuple[int, str | None]:
    """Return the side of the tiles for a `tile` that a caller gave, and a warning where it is another one.

    Parameters
    ----------
    tile : side in pixels; 0 to choose it from `free_bytes`, or the one that the pipeline prescribes

    Raises
    ------
    UsageError : the tile is negative
    """
    if tile < 0:
        raise UsageError(f"`tile` must be 0 (automatic) or a number of pixels, got {tile}.")
    if tile == 0:
        return choose_tile(spec, free_bytes), None
    side, least = round_tile(tile, spec), min_given_side(spec)
    if side >= least or spec.tile:
        return side, None
    return least, f"A tile of {tile} pixels would be nearly all halo; tiles of {least} pixels are used."


def fade(start: int, stop: int, length: int, width: int) -> NDArray[np.float32]:
    """Return the weight of each pixel of the tile [start, stop) of a side of `length` pixels, where tiles overlap.

    For the pixels from start − width up to stop + width, as far as the side reaches: rising to 1 over 2·width pixels
    around `start` and falling around `stop`, but not at the side's ends. The tiles of a side, at least 2·width long
    each but for the last, add up to 1.
    """
    first, last = max(start - width, 0), min(stop + width, length)
    at = np.arange(first, last, dtype=np.float32) + 0.5
    rise = np.ones_like(at) if start == 0 else np.clip((at - start + width) / (2 * width), 0, 1)
    fall = np.ones_like(at) if stop == length else np.clip((stop + width - at) / (2 * width), 0, 1)
    return np.minimum(rise, fall)


def pad_tile(tile: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """Extend (1, planes, h, w) by reflection, as `ops.padding` does for tensors, for a graph that does not pad itself.

    Both sides become multiples of `multiple`, and at least `SMALLEST`; with `multiple` 1 the tile stays as it is.
    """
    if multiple == 1:
        return tile
    missing = [-(-max(side, SMALLEST) // multiple) * multiple - side for side in tile.shape[2:]]
    return np.pad(tile, [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])], "reflect") if any(missing) else tile

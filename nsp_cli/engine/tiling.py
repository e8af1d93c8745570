"""Cutting a photo into tiles whose results fit together without a seam: plain integers, no framework.

A tile is a region of the photo, its origin a multiple of the pipeline's `multiple`, so that its PD phases
are those of the whole photo. It is read with a halo that covers the receptive field, clipped at the photo's border,
where the pipeline pads it as it pads the whole photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import UsageError
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec

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

    @property
    def longest(self) -> int:
        """The longer side in pixels."""
        return max(self.bottom - self.top, self.right - self.left)

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

    def split_evenly(self, side: int, halo: int, multiple: int) -> Iterator[Region]:
        """Cut into regions that are equally large with their halos, such that the fewest pixels are read, row by row.

        Halos end at the border of this region, so that regions there are larger by a halo. A runtime prepares itself
        for each new size of a tile. No region with its halo has more pixels than a square of `side` with its halo.
        Origins are multiples of `multiple`, as `side` and the origin of this region are; sizes with halos differ only
        where that needs it.
        """
        most = (side + 2 * halo) ** 2
        rows, columns = (
            _cuts(length, side, halo, multiple) for length in (self.bottom - self.top, self.right - self.left)
        )
        fitting = [(row, column) for row in rows for column in columns if row.read * column.read <= most]
        row, column = min(fitting, key=lambda cuts: cuts[0].total * cuts[1].total)
        for top, bottom in pairwise(row.borders):
            for left, right in pairwise(column.borders):
                yield Region(self.top + top, self.left + left, self.top + bottom, self.left + right)


class _Cut(NamedTuple):
    """A side cut into parts, in pixels: their borders, the longest part with its halo, and all parts with theirs."""

    borders: tuple[int, ...]
    read: int
    total: int


def _cuts(length: int, side: int, halo: int, multiple: int) -> list[_Cut]:
    """Cut a side into 1, 2 … parts, up to twice as many as parts of at most `side` pixels are."""
    cuts = [_Cut((0, length), length, length)]
    outer = halo // multiple * multiple  # that the first and the last part have more than the others
    for count in range(2, 2 * -(-length // side) + 1):
        part = max(-(-(length - 2 * outer) // (count * multiple)), 1) * multiple
        borders = (0, *range(outer + part, length, part)[: count - 1], length)
        read = [min(b + halo, length) - max(a - halo, 0) for a, b in pairwise(borders)]
        cuts.append(_Cut(borders, max(read), sum(read)))
    return cuts


MOST_BYTES = 10**9
"""Largest memory of one tile in bytes: a photo of 100 megapixels then stays under three times its own float32 size."""


def min_split_side(spec: PipelineSpec) -> int:
    """Return the side in pixels to which tiles are halved at most when the memory runs out."""
    return max(spec.multiple * 8, 32)


def min_requested_side(spec: PipelineSpec) -> int:
    """Return the smallest side that a caller may give: half a halo, which costs 25 times the photo's own pixels."""
    return -(-spec.halo // (2 * spec.multiple)) * spec.multiple


def round_tile(side: int, spec: PipelineSpec) -> int:
    """Round `side` down to a valid tile side, in pixels."""
    return max(side // spec.multiple * spec.multiple, spec.multiple)


_LARGEST, _LARGEST_OF_NARROW, _NARROW = 1152, 768, 32
"""Side in pixels of the largest tile, the same for halos below so many pixels, which waste little in smaller tiles.

A photo of 24 megapixels then stays below 900 MB with `fast` and with `quick`."""


def choose_tile(spec: PipelineSpec, free_bytes: int) -> int:
    """Choose the largest tile side that, with its halo, uses a third of the free memory or `MOST_BYTES`.

    A pipeline whose result depends on its tile has one of its own. For the others, larger tiles waste less on the halo.
    """
    if spec.tile:
        return spec.tile
    largest = _LARGEST_OF_NARROW if spec.halo < _NARROW else _LARGEST
    budget = min(free_bytes / 3, MOST_BYTES)
    side = int((budget / spec.working_bytes) ** 0.5) - 2 * spec.halo
    return round_tile(max(min(side, largest), min_split_side(spec), min_requested_side(spec)), spec)


def tile_side(tile: int, spec: PipelineSpec, free_bytes: int) -> tuple[int, str | None]:
    """Return the side of the tiles for a `tile` that a caller gave, and a warning where it is another one.

    Parameters
    ----------
    tile : int
        Side in pixels; 0 to choose it from `free_bytes`, or the one that the pipeline prescribes.

    Raises
    ------
    UsageError
        The tile is negative.
    """
    if tile < 0:
        raise UsageError(f"`tile` must be 0 (automatic) or a number of pixels, got {tile}.")
    if tile == 0:
        return choose_tile(spec, free_bytes), None
    side, least = round_tile(tile, spec), min_requested_side(spec)
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

    Both sides become multiples of `multiple`, and at least `MIN_NETWORK_SIDE`; with `multiple` 1 nothing is added.
    """
    if multiple == 1:
        return tile
    missing = [-(-max(side, MIN_NETWORK_SIDE) // multiple) * multiple - side for side in tile.shape[2:]]
    return np.pad(tile, [(0, 0), (0, 0), (0, missing[0]), (0, missing[1])], "reflect") if any(missing) else tile

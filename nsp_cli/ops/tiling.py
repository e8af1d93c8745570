"""Cutting a photo into tiles whose results fit together without a seam: plain integers, no framework.

A tile is a region of the photo, its origin a multiple of the pipeline's `multiple`, so that every tile sees the same PD
phases as the whole photo. It is read with a halo that covers the receptive field, clipped at the photo's border: there
the pipeline meets the border just as it does when it gets the whole photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nsp_cli.spec import PipelineSpec

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
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def with_halo(self, halo: int, height: int, width: int) -> Region:
        """The region and `halo` pixels around it, as far as the photo reaches."""
        return Region(
            max(self.top - halo, 0),
            max(self.left - halo, 0),
            min(self.bottom + halo, height),
            min(self.right + halo, width),
        )

    def inside(self, outer: Region) -> Region:
        """This region in the coordinates of one that contains it."""
        return Region(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def scaled(self, scale: int) -> Region:
        return Region(self.top * scale, self.left * scale, self.bottom * scale, self.right * scale)

    def split(self, side: int) -> Iterator[Region]:
        """Cut into regions of at most side × side pixels, row by row."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Region(top, left, min(top + side, self.bottom), min(left + side, self.right))


MOST_BYTES = 10**9
"""What one tile may use at most: a photo of 100 megapixels then stays under three times its own float32 size."""


def smallest_tile(spec: PipelineSpec) -> int:
    """The side below which a tile would be almost all halo, in pixels."""
    return max(spec.multiple * 8, 32)


def round_tile(side: int, spec: PipelineSpec) -> int:
    """The nearest side not above `side` that a tile may have."""
    return max(side // spec.multiple * spec.multiple, spec.multiple)


def choose_tile(spec: PipelineSpec, free_bytes: int, largest: int = 1024) -> int:
    """The side of the largest tile that, with its halo, uses a third of the free memory, or `MOST_BYTES`.

    Larger tiles waste less on the halo; above `largest` the gain is below the noise of a measurement
    (`benchmarks/inference.py`) and memory only grows.
    """
    budget = min(free_bytes / 3, MOST_BYTES)
    side = int((budget / spec.working_bytes) ** 0.5) - 2 * spec.halo
    return round_tile(max(min(side, largest), smallest_tile(spec)), spec)

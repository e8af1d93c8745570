"""Tiles cover a photo exactly once, start where the stride wants it, and see far enough."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nsp_cli.engine.tiling import Region, choose_tile, fade, min_split_side, pad_tile, round_tile, tile_side
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.ops.padding import pad_to_multiple

SPEC = PipelineSpec(task="denoise", scale=1, multiple=4, halo=12, working_bytes=4000)


@pytest.mark.parametrize(("h", "w", "side"), [(1, 1, 4), (37, 53, 16), (64, 64, 64), (10, 200, 8)])
def test_regions_cover_every_pixel_once(h: int, w: int, side: int) -> None:
    seen = np.zeros((h, w), int)
    for region in Region(0, 0, h, w).split(side):
        assert region.top % side == region.left % side == 0
        seen[region.slices] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize(
    ("h", "w", "side", "parts", "read"),
    [
        (4000, 6000, 1024, 24, 4480 * 6800),
        (4000, 6000, 1152, 18, 4320 * 6800),
        (2000, 3000, 1024, 6, 2160 * 3320),
        (1155, 1732, 1024, 2, 1155 * 1892),  # 2486088 in four squares
        (1100, 1200, 1024, 1, 1100 * 1200),
        (300, 9000, 1024, 2, 300 * 9160),
        (7, 5, 8, 1, 7 * 5),
    ],
)
def test_even_regions_read_the_fewest_pixels_and_start_at_multiples(
    h: int, w: int, side: int, parts: int, read: int
) -> None:
    regions = list(Region(0, 0, h, w).split_evenly(side, 80, 8))
    covered = np.zeros((h, w), int)
    for region in regions:
        covered[region.slices] += 1
        assert region.top % 8 == region.left % 8 == 0
    assert (covered == 1).all()
    assert len(regions) == parts
    outer = [region.with_halo(80, h, w) for region in regions]
    heights, widths = (sorted({r.bottom - r.top for r in outer}), sorted({r.right - r.left for r in outer}))
    areas = [(region.bottom - region.top) * (region.right - region.left) for region in outer]
    assert sum(areas) == read
    assert max(areas) <= (side + 160) ** 2
    assert heights[-1] - heights[0] <= 8 * len(regions)
    assert widths[-1] - widths[0] <= 8 * len(regions)


def test_a_halo_ends_at_the_photo_and_is_found_again() -> None:
    outer = Region(8, 0, 16, 8).with_halo(6, 20, 30)
    assert outer == Region(2, 0, 20, 14)
    assert Region(8, 0, 16, 8).inside(outer).scaled(2) == Region(12, 0, 28, 16)


@pytest.mark.parametrize("free", [0, 10**6, 10**8, 10**9, 10**12])
def test_a_chosen_tile_fits_the_free_memory_and_the_stride(free: int) -> None:
    side = choose_tile(SPEC, free)
    assert side % SPEC.multiple == 0
    assert side >= min_split_side(SPEC)
    if side > min_split_side(SPEC):
        assert (side + 2 * SPEC.halo) ** 2 * SPEC.working_bytes <= free / 3


def test_a_side_that_is_chosen_gives_no_warning() -> None:
    """The side of NSP's wide networks in little memory: the floor is half of a halo there, and nobody gave a tile."""
    spec = replace(SPEC, multiple=2, halo=90)
    assert tile_side(0, spec, 0) == (46, None)
    assert tile_side(46, spec, 0) == (46, None)
    side, warning = tile_side(10, spec, 0)
    assert (side, warning) == (46, "A tile of 10 pixels would be nearly all halo; tiles of 46 pixels are used.")
    assert tile_side(10, replace(spec, tile=40), 0) == (10, None)
    with pytest.raises(UsageError, match="`tile` must be 0"):
        tile_side(-1, spec, 0)


def test_rounding_a_tile_never_gives_zero() -> None:
    assert [round_tile(side, SPEC) for side in (1, 4, 7, 9)] == [4, 4, 4, 8]


def test_a_prescribed_tile_does_not_depend_on_the_memory() -> None:
    spec = replace(SPEC, tile=40)
    assert [choose_tile(spec, free) for free in (0, 10**6, 10**12)] == [40, 40, 40]


@pytest.mark.parametrize(("length", "side", "width"), [(100, 20, 6), (83, 20, 10), (7, 20, 10), (41, 40, 20)])
def test_tiles_fade_into_each_other_and_add_up_to_one(length: int, side: int, width: int) -> None:
    total = np.zeros(length, np.float32)
    for start in range(0, length, side):
        stop = min(start + side, length)
        first, last = max(start - width, 0), min(stop + width, length)
        share = fade(start, stop, length, width)
        assert share.shape == (last - first,)
        assert np.abs(np.diff(share)).max(initial=0) <= 0.5 / width + 1e-6
        total[first:last] += share
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 13), (16, 24), (17, 3)])
def test_tiles_are_padded_as_tensors_are(height: int, width: int) -> None:
    tile = np.random.default_rng(0).random((1, 4, height, width), np.float32)
    np.testing.assert_array_equal(pad_tile(tile, 4), pad_to_multiple(torch.from_numpy(tile), 4, 8).numpy())
    assert pad_tile(tile, 1) is tile

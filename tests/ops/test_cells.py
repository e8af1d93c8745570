"""NSP's cells: a partition, the right order, and no favourites."""

from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor

from nsp_cli.errors import UsageError
from nsp_cli.ops.cells import Strategy, gather_cells, most_targets, partition, shuffle

CELLS = (4, 16, 16)
CASES = [
    (s, t, n, strategy)
    for s, t in [(5, 2), (4, 2), (6, 3), (5, 4), (5, 1), (3, 2)]
    for strategy in Strategy
    for n in range(1, 6)
    if n <= most_targets(strategy, s, t) and n * t * t < s * s
]


def draw(s: int, t: int, n: int, strategy: Strategy, seed: int = 0) -> tuple[Tensor, Tensor]:
    return partition(CELLS, s, t, n, strategy, Generator().manual_seed(seed))


@pytest.mark.parametrize(("s", "t", "n", "strategy"), CASES)
def test_every_pixel_of_a_cell_is_used_exactly_once(s: int, t: int, n: int, strategy: Strategy) -> None:
    targets, inputs = draw(s, t, n, strategy)
    assert targets.shape == (*CELLS, n, t * t)
    used = torch.cat([targets.flatten(-2), inputs], -1).sort(-1).values
    assert torch.equal(used, torch.arange(s * s).expand(*CELLS, -1))


@pytest.mark.parametrize(("n", "pairs"), [(1, 21), (2, 34), (3, 39), (4, 36), (5, 25)])
def test_the_paper_s_number_of_pairs(n: int, pairs: int) -> None:
    targets, inputs = draw(5, 2, n, Strategy.INTERSECTED)
    assert targets.shape[-2] * inputs.shape[-1] == pairs


@pytest.mark.parametrize("n", [1, 3])
def test_sorted_intersected_and_consecutive_keep_the_relative_order(n: int) -> None:
    for strategy in (Strategy.SORTED, Strategy.INTERSECTED, Strategy.CONSECUTIVE):
        targets, _ = draw(5, 2, n, strategy)
        assert all((targets[..., i] < targets[..., j]).all() for i, j in pairwise(range(4)))
    rows, columns = targets // 5, targets % 5  # consecutive: a block
    assert (rows - rows[..., :1] == torch.tensor([0, 0, 1, 1])).all()
    assert (columns - columns[..., :1] == torch.tensor([0, 1, 0, 1])).all()


def test_intersected_is_the_crossing_of_rows_and_columns() -> None:
    targets, _ = draw(5, 2, 4, Strategy.INTERSECTED)
    rows, columns = targets // 5, targets % 5
    assert (rows[..., 0] == rows[..., 1]).all()
    assert (rows[..., 2] == rows[..., 3]).all()
    assert (columns[..., 0] == columns[..., 2]).all()
    assert (columns[..., 1] == columns[..., 3]).all()


@pytest.mark.parametrize("strategy", [Strategy.RANDOM, Strategy.SORTED, Strategy.INTERSECTED])
@pytest.mark.parametrize("n", [1, 4])
def test_every_pixel_is_a_target_equally_often(strategy: Strategy, n: int) -> None:
    targets, _ = partition((100, 100), 5, 2, n, strategy, Generator().manual_seed(0))
    share = torch.bincount(targets.flatten(), minlength=25) / 10_000
    # Each share is a mean of 10,000 draws: five standard deviations are below 0.026.
    assert torch.allclose(share, torch.full((25,), 4 * n / 25), atol=0.026)


def test_the_blocks_of_consecutive_and_the_order_of_inputs_are_uniform() -> None:
    targets, inputs = partition((100, 100), 5, 2, 1, Strategy.CONSECUTIVE, Generator().manual_seed(0))
    corners = torch.bincount(targets[..., 0, 0].flatten(), minlength=25)
    allowed = [5 * r + c for r in range(4) for c in range(4)]
    assert corners.sum() == corners[allowed].sum() == 10_000
    assert torch.allclose(corners[allowed] / 10_000, torch.full((16,), 1 / 16), atol=0.013)
    first = torch.bincount(inputs[..., 0].flatten(), minlength=25) / 10_000
    last = torch.bincount(inputs[..., -1].flatten(), minlength=25) / 10_000
    assert torch.allclose(first, last, atol=0.02)


def test_gathering_takes_the_pixels_that_were_numbered() -> None:
    photo = torch.rand(2, 3, 15, 20)
    targets, inputs = partition((2, 3, 4), 5, 2, 2, Strategy.SORTED, Generator().manual_seed(0))
    pixels = torch.cat([targets.flatten(-2), inputs], -1)
    subs = gather_cells(photo, 5, pixels)
    assert subs.shape == (2, 25, 3, 3, 4)
    for k in (0, 7, 24):
        number = int(pixels[1, 2, 3, k])
        assert torch.equal(subs[1, k, :, 2, 3], photo[1, :, 10 + number // 5, 15 + number % 5])


def test_the_same_seed_draws_the_same_cells() -> None:
    first, second, other = (draw(5, 2, 4, Strategy.INTERSECTED, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(("s", "t", "n"), [(5, 2, 5), (2, 2, 1), (3, 4, 1), (5, 2, 0)])
def test_an_impossible_partition_is_refused(s: int, t: int, n: int) -> None:
    with pytest.raises(UsageError):
        draw(s, t, n, Strategy.CONSECUTIVE)


def test_a_shuffle_puts_every_pixel_at_every_place() -> None:
    order = shuffle((40, 50), 3, Generator().manual_seed(0))
    assert (order.sort(-1).values == torch.arange(9)).all()
    shares = torch.stack([(order == pixel).float().mean((0, 1)) for pixel in range(9)])
    assert (shares - 1 / 9).abs().max() < 0.03  # four standard deviations of 2,000 draws

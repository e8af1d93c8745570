"""Patterns choose the share they are asked for, differ, and are the same in a tile."""

import pytest
import torch

from nsp_cli.ops.masks import PERIOD, draw_patterns, repeat_pattern


@pytest.mark.parametrize("share", [0.0, 0.16, 0.5, 1.0])
def test_every_pattern_chooses_its_share(share: float) -> None:
    patterns = draw_patterns(8, share)
    assert patterns.shape == (8, 1, PERIOD, PERIOD)
    assert (patterns.float().mean((1, 2, 3)) - share).abs().max() <= 0.5 / PERIOD**2


def test_every_pattern_is_another_and_a_seed_always_gives_the_same() -> None:
    patterns = draw_patterns(8, 0.16)
    assert len({tuple(p.flatten().tolist()) for p in patterns}) == 8
    assert torch.equal(patterns, draw_patterns(8, 0.16))
    assert not torch.equal(patterns, draw_patterns(8, 0.16, seed=1))


def test_a_pattern_repeats_over_a_photo_of_any_size_and_over_its_tiles() -> None:
    pattern, photo = draw_patterns(2, 0.5), torch.zeros(1, 3, 40, 25)
    spread = repeat_pattern(pattern, photo)
    assert spread.shape == (2, 1, 40, 25)
    for y, x in [(0, 0), (17, 3), (39, 24)]:
        assert torch.equal(spread[..., y, x], pattern[..., y % PERIOD, x % PERIOD])
    assert torch.equal(repeat_pattern(pattern, photo[..., PERIOD:, PERIOD:]), spread[..., PERIOD:, PERIOD:])

"""R3: which pixels each pass gets, and the mean of what it makes of them."""

import torch
from torch import Tensor

from nsp_cli.ops.masks import draw_patterns, repeat_pattern
from nsp_cli.ops.refine import PASSES, REPLACE_FRACTION, refine


def test_each_pass_gets_the_result_with_its_share_of_noisy_pixels() -> None:
    noisy, result = torch.ones(2, 3, 48, 32), torch.zeros(2, 3, 48, 32)
    given: list[Tensor] = []

    def denoise(x: Tensor) -> Tensor:
        given.append(x)
        return x

    patterns = draw_patterns(PASSES, REPLACE_FRACTION)
    mean = refine(denoise, noisy, result, patterns)
    assert len(given) == 8
    assert all(abs(float(x.mean()) - 0.16) < 1 / 256 for x in given)
    assert all(torch.equal(x[0, 0], x[1, 2]) for x in given)  # all colours of a pixel together
    assert len({tuple(x[0, 0].flatten().tolist()) for x in given}) == 8
    assert torch.allclose(mean, repeat_pattern(patterns, noisy).float().mean(0).expand_as(mean))


def test_nothing_put_back_is_a_second_pass() -> None:
    noisy, result = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 20)
    assert torch.equal(refine(lambda x: 2 * x, noisy, result, draw_patterns(1, 0.0)), 2 * result)

"""PD is a permutation: nothing lost, nothing rounded."""

import pytest
import torch

from nsp_cli.errors import UsageError
from nsp_cli.ops.pd import from_mosaic, pd_merge, pd_split, to_mosaic


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_merge_undoes_split_bit_for_bit(stride: int, dtype: torch.dtype) -> None:
    photo = torch.randint(0, 255, (2, 3, 6 * stride, 4 * stride)).to(dtype)
    assert torch.equal(pd_merge(pd_split(photo, stride), stride), photo)


def test_sub_image_k_is_the_phase_a_b() -> None:
    photo = torch.rand(1, 3, 10, 15)
    subs = pd_split(photo, 5)
    assert subs.shape == (1, 25, 3, 2, 3)
    for a in range(5):
        for b in range(5):
            assert torch.equal(subs[:, 5 * a + b], photo[..., a::5, b::5])


def test_a_mosaic_has_the_sub_images_side_by_side_and_comes_apart_again() -> None:
    subs = pd_split(torch.rand(2, 3, 8, 12), 2)
    picture = to_mosaic(subs, 2)
    rows = [torch.cat([subs[:, 0], subs[:, 1]], -1), torch.cat([subs[:, 2], subs[:, 3]], -1)]
    assert torch.equal(picture, torch.cat(rows, -2))
    assert torch.equal(from_mosaic(picture, 2), subs)


def test_a_side_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="multiples of 2, got 5x4"):
        pd_split(torch.rand(1, 3, 5, 4), 2)

"""Padding agrees with NumPy's reflection, for every size down to one pixel."""

import numpy as np
import pytest
import torch

from nsp_cli.ops.padding import cut_to_multiple, pad_to_multiple, reflect_sides, zero_pad_to_multiple


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 7), (2, 3), (5, 4), (9, 16), (31, 17)])
@pytest.mark.parametrize("multiple", [1, 2, 5, 8])
@pytest.mark.parametrize("smallest", [1, 16])
def test_equals_reflection(h: int, w: int, multiple: int, smallest: int) -> None:
    photo = torch.rand(1, 2, h, w)
    padded = pad_to_multiple(photo, multiple, smallest)
    sides = [-(-max(side, smallest) // multiple) * multiple for side in (h, w)]
    reflected = np.pad(photo.numpy(), ((0, 0), (0, 0), (0, sides[0] - h), (0, sides[1] - w)), mode="reflect")
    np.testing.assert_array_equal(padded.numpy(), reflected)


@pytest.mark.parametrize(("h", "w"), [(1, 7), (2, 3), (9, 40)])
def test_a_margin_is_reflected_on_all_four_sides(h: int, w: int) -> None:
    photo = torch.rand(1, 2, h, w)
    reflected = np.pad(photo.numpy(), ((0, 0), (0, 0), (16, 16), (16, 16)), mode="reflect")
    np.testing.assert_array_equal(reflect_sides(photo, 16).numpy(), reflected)
    assert reflect_sides(photo, 0) is photo


def test_zeros_are_as_many_as_reflection_would_add() -> None:
    photo = torch.rand(1, 2, 9, 21)
    padded = zero_pad_to_multiple(photo, 5, 16)
    assert padded.shape == pad_to_multiple(photo, 5, 16).shape
    assert torch.equal(padded[..., :9, :21], photo)
    assert not padded[..., 9:, :].any()
    assert not padded[..., 21:].any()


def test_a_fitting_photo_stays_as_it_is() -> None:
    photo = torch.rand(1, 3, 8, 12)
    assert torch.equal(pad_to_multiple(photo, 4), photo)


def test_cutting_leaves_out_the_right_and_the_bottom() -> None:
    photo = torch.rand(1, 3, 11, 12)
    assert torch.equal(cut_to_multiple(photo, 4), photo[..., :8, :12])

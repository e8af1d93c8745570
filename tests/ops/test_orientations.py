"""The eight orientations of tensors and arrays have one numbering."""

import numpy as np
import pytest
import torch

from nsp_cli.ops.orientations import FLIPS_FIRST, ORIENTATIONS, array_to_upright, orient, orient_array, to_upright

PHOTO = np.arange(4 * 6 * 3, dtype=np.float32).reshape(4, 6, 3)
TENSOR = torch.from_numpy(PHOTO).permute(2, 0, 1)[None]


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_tensors_and_arrays_are_oriented_alike_and_back(orientation: int) -> None:
    turned = np.rot90(PHOTO, orientation % 4)
    expected = turned[:, ::-1] if orientation >= 4 else turned
    assert np.array_equal(orient_array(PHOTO, orientation), expected)
    assert np.array_equal(orient(TENSOR, orientation)[0].permute(1, 2, 0).numpy(), expected)
    assert np.array_equal(array_to_upright(orient_array(PHOTO, orientation), orientation), PHOTO)
    assert torch.equal(to_upright(orient(TENSOR, orientation), orientation), TENSOR)


def test_the_first_four_keep_the_sides() -> None:
    assert sorted(FLIPS_FIRST) == list(range(ORIENTATIONS))
    assert [tuple(orient(TENSOR, orientation).shape[2:]) for orientation in FLIPS_FIRST] == [(4, 6)] * 4 + [(6, 4)] * 4
    assert torch.equal(orient(TENSOR, FLIPS_FIRST[1]), TENSOR.flip(-1))

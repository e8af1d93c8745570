"""Pairs of sub-images for networks without a blind spot: how far apart their pixels are, and what the loss corrects."""

import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.subimages import SubImages
from tests.methods.cases import TINY_UNET, Case, Trial, numbered

CASES = [
    Case(
        method="subimages",
        method_args={"distance": 1, "balance": 4.0},
        network="resunet",
        network_args={"widths": (8, 8), "depths": (1, 1), "noise_level": True},
        size=1_046_428,
        size_args={"noise_level": True},
    ),
]

TRIALS = [
    Trial("subimages", "unet", TINY_UNET, {"distance": 2}, steps=120),
    Trial("subimages", "unet", TINY_UNET, {"distance": 2, "balance": 4.0}, steps=120, variant="balanced"),
]


def places(pixels: Tensor, width: int) -> Tensor:
    """Rows and columns of pixels of `numbered`, (n, 2)."""
    return torch.stack([pixels.flatten() // width, pixels.flatten() % width], 1)


@pytest.mark.parametrize("distance", [1, 2, 3, 5])
@pytest.mark.slow
def test_input_and_target_pixels_are_the_correlation_length_apart(distance: int) -> None:
    offsets: set[tuple[int, ...]] = set()
    for seed in range(40):
        photo = numbered(1, 100, 120)
        first, second = SubImages(distance=distance).pairs(photo, Generator().manual_seed(seed), 4)
        assert first.shape == second.shape
        assert min(first.shape[2:]) >= 4
        assert all(side % 4 == 0 for side in first.shape[2:])
        inputs, targets = places(first, 120), places(second, 120)
        apart = (inputs[:, None] - targets[None]).abs().amax(2)  # Chebyshev, of every pixel from every other
        assert apart.min() == distance
        offsets.add(tuple((targets[0] - inputs[0]).int().tolist()))
    assert len({offset[0] for offset in offsets}) > 1  # in both directions
    assert len({offset[1] for offset in offsets}) > 1


class Same(nn.Module):
    """A network that returns its input, and a parameter for the gradient."""

    scale, receptive_field_radius, size_multiple, activation_floats_per_pixel = 1, 0, 1, 3

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


def test_the_second_term_subtracts_what_differs_in_the_photo_itself() -> None:
    """Nothing is left of it for a network that returns its input: the loss is NSP's alone, whatever the weight."""
    photo = torch.rand(2, 3, 72, 72, generator=Generator().manual_seed(0))
    alone, both = (SubImages(balance=balance).loss(Same(), photo, Generator().manual_seed(1)) for balance in (0, 9))
    assert alone > 0.1
    torch.testing.assert_close(alone, both)


def test_settings_out_of_bounds_are_refused() -> None:
    with pytest.raises(UsageError, match="distance"):
        SubImages(distance=0)
    with pytest.raises(UsageError, match="distance"):
        SubImages(distance=9)


def test_the_smallest_patch_leaves_eight_pixels_of_a_sub_image() -> None:
    for distance in (1, 4, 8):
        method = SubImages(distance=distance)
        side = method.smallest_patch
        first, _ = method.pairs(torch.rand(1, 3, side, side), Generator().manual_seed(0), 8)
        assert first.shape[2:] == (8, 8)

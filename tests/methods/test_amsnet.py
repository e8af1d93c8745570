"""AMSNet: the loss sees masked pixels alone, and no pixel of a result has seen itself."""

import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.amsnet import AMSNet, MaskedInference, total_variation
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from tests.methods.cases import TINY_UNET, Case, Trial

CASES = [
    Case(
        method="amsnet",
        method_args={"refine": 1, "smoothness": 0.01},
        network="n2nunet",
        network_args={"width": 6, "levels": 3, "top_width": 5},  # sub-images of 12 pixels: the loss has to pad them
        size=7_935_555,
    ),
    Case(
        method="amsnet",
        method_args={},
        network="nafnet",
        network_args={"widths": (8, 8), "depths": (1, 1)},
        size=833_443,
    ),
]

TRIALS = [
    Trial("amsnet", "unet", TINY_UNET, {"inputs": 8}, steps=100),
]


class Spy(nn.Module):
    """Takes note of what it is given, and answers with one grey everywhere."""

    scale, receptive_field_radius, size_multiple, activation_floats_per_pixel = 1, 1, 4, 8

    def __init__(self, answer: float = 0.5) -> None:
        super().__init__()
        self.answer = answer
        self.given: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x)
        return torch.full_like(x, self.answer)


def unet() -> nn.Module:
    torch.manual_seed(0)
    return build_network("unet", {"width": 6, "levels": 2}).eval()


def test_the_network_is_given_about_half_of_the_pixels_all_colours_together() -> None:
    spy, photos = Spy(), torch.rand(2, 3, 60, 60) + 0.1
    AMSNet().loss(spy, photos, Generator().manual_seed(0))
    (given,) = spy.given
    assert given.shape == (50, 3, 12, 12)
    seen = given != 0
    assert torch.equal(seen, seen[:, :1].expand_as(seen))
    assert abs(float(seen.float().mean()) - 0.5) < 0.03
    assert not torch.equal(seen[0], seen[1])


def test_the_loss_is_that_of_the_masked_pixels_alone() -> None:
    spy, photos = Spy(), torch.rand(1, 3, 40, 40) + 0.1
    loss = AMSNet(stride=1).loss(spy, photos, Generator().manual_seed(0))
    masked = (spy.given[0] == 0)[..., :40, :40]
    assert torch.allclose(loss, (photos - 0.5).abs()[masked].mean())


def test_padding_shows_nothing_that_is_masked() -> None:
    """Sub-images of 9 pixels are padded to 12: by what the masked picture shows, and by nothing else."""
    spy, photos = Spy(), torch.rand(1, 3, 45, 45) + 0.1
    AMSNet().loss(spy, photos, Generator().manual_seed(0))
    (given,) = spy.given
    assert given.shape[-2:] == (12, 12)
    assert torch.equal(given[..., 9:], given[..., 5:8].flip(-1))


def test_smoothness_adds_the_total_variation_of_the_output() -> None:
    network, photos = unet(), torch.rand(1, 3, 40, 40)
    plain, smooth, smoother = (
        AMSNet(smoothness=weight).loss(network, photos, Generator().manual_seed(0)) for weight in (0.0, 0.01, 0.02)
    )
    assert smooth > plain
    assert torch.allclose(smoother - plain, 2 * (smooth - plain), atol=1e-6)
    steps = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert float(total_variation(steps)) == 5.0


def test_the_masks_of_the_test_are_complementary() -> None:
    spy, x = Spy(), torch.rand(2, 3, 20, 24) + 0.1
    MaskedInference(spy)(x)
    first, second = (given != 0 for given in spy.given[0].chunk(2))
    assert torch.equal(first, ~second)
    assert torch.equal(spy.given[0].chunk(2)[0] + spy.given[0].chunk(2)[1], x)
    assert abs(float(first[..., :16, :16].float().mean()) - 0.5) < 1e-6


def test_no_pixel_of_a_result_has_seen_itself() -> None:
    """By gradient through the whole pipeline, at pixels of both masks and of all four phases."""
    pipeline = AMSNet().pipeline(unet(), Task.DENOISE)
    for y, x in [(16, 16), (16, 17), (17, 16), (17, 17), (0, 0), (18, 23), (31, 31), (20, 21)]:
        photo = torch.rand(1, 3, 32, 32, requires_grad=True)
        pipeline(photo)[..., y, x].sum().backward()
        assert photo.grad is not None
        assert (photo.grad[..., y, x] == 0).all()
        assert (photo.grad != 0).sum() > 30


def test_wrong_settings_are_usage_errors() -> None:
    for wrong in ({"stride": 0}, {"test_stride": 0}, {"refine": -1}, {"smoothness": -0.1}, {"inputs": -1}):
        with pytest.raises(UsageError):
            AMSNet(**wrong)

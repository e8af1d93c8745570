"""The plain U-Nets: what they start as, and how far they see."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nsp_cli.networks import as_network, build_network

TINY = {"widths": (8, 8), "depths": (1, 1)}


def lively(**arguments: object) -> nn.Module:
    """A small ResUNet with no zeros to hide behind."""
    torch.manual_seed(0)
    network = build_network("resunet", {**TINY, **arguments})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("scale", [1, 2])
def test_an_untrained_resunet_gives_back_the_photo(scale: int) -> None:
    photo = torch.rand(1, 3, 16, 24)
    expected = photo if scale == 1 else F.interpolate(photo, scale_factor=scale, mode="bicubic")
    assert torch.allclose(build_network("resunet", {**TINY, "scale": scale})(photo), expected)


def test_a_resunet_that_enlarges_adopts_one_that_does_not() -> None:
    """It adds to each pixel's cell what the other added to the pixel."""
    small, large = lively(), lively(scale=2)
    large.load_state_dict(large.adopt(small.state_dict()))  # pyright: ignore
    photo = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        added = small(photo) - photo
        expected = F.interpolate(photo, scale_factor=2, mode="bicubic") + F.interpolate(added, scale_factor=2)
        assert torch.allclose(large(photo), expected, atol=1e-5)
    same = lively(scale=2)
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in same.adopt(same.state_dict()).items())  # pyright: ignore


def test_a_resunet_that_is_told_the_noise_level_adopts_one_that_is_not() -> None:
    """It begins by not listening, and can learn to."""
    deaf, hearing = lively(), lively(noise_level=True)
    hearing.load_state_dict(hearing.adopt(deaf.state_dict()))  # pyright: ignore
    photo = torch.rand(1, 3, 16, 24)
    heard = torch.cat([photo, torch.full_like(photo[:, :1], 0.1)], 1)
    assert torch.allclose(hearing(heard), deaf(photo), atol=1e-5)
    hearing(heard).sum().backward()
    assert hearing.head.weight.grad[:, 12:].abs().sum() > 0  # pyright: ignore
    same = lively(noise_level=True)
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in same.adopt(same.state_dict()).items())  # pyright: ignore


def test_a_resunet_adopts_one_that_was_told_the_noise_level() -> None:
    """It says what that one would if it were always told the usual level, away from the photo's edge."""
    hearing, deaf = lively(noise_level=True), lively()
    deaf.load_state_dict(deaf.adopt(hearing.state_dict()))  # pyright: ignore
    photo = torch.rand(1, 3, 96, 96)
    usual = torch.cat([photo, torch.full_like(photo[:, :1], 5 / 255)], 1)
    middle = (..., slice(40, 56), slice(40, 56))
    with torch.no_grad():
        assert torch.allclose(deaf(photo)[middle], hearing(usual)[middle], atol=1e-4)
    other = {"intro.weight": photo}
    assert deaf.adopt(other) == other  # pyright: ignore


@pytest.mark.parametrize("thin", [{}, {"hidden": (4, 6)}])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_larger_resunet_adopts_a_smaller_one(scale: int, thin: dict[str, object]) -> None:
    """It gives the same answer at first, and all of its new weights can learn after a step or two."""
    small = lively(**thin)
    torch.manual_seed(1)
    large = build_network(
        "resunet", {**TINY, "widths": (12, 16), "depths": (3, 2), "scale": scale, "noise_level": True}
    )
    large.load_state_dict(large.adopt(small.state_dict()))  # pyright: ignore
    photo = torch.rand(1, 3, 16, 24)
    heard = torch.cat([photo, torch.full_like(photo[:, :1], 0.1)], 1)
    base, larger = photo, F.interpolate(photo, scale_factor=scale, mode="bicubic") if scale > 1 else photo
    with torch.no_grad():
        added = F.interpolate(small(photo) - base, scale_factor=scale)
        assert torch.allclose(large(heard), larger + added, atol=1e-5)
    optimizer = torch.optim.SGD(large.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (large(heard) ** 2).mean().backward()
        optimizer.step()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in large.parameters())


@pytest.mark.parametrize(("name", "arguments"), [("resunet", TINY), ("unet", {"width": 6, "levels": 2})])
def test_nothing_beyond_the_radius_is_seen(name: str, arguments: dict[str, object]) -> None:
    torch.manual_seed(0)
    network = lively() if name == "resunet" else build_network(name, arguments).eval()
    radius, multiple = as_network(network).receptive_field_radius, as_network(network).size_multiple
    side = -(-(2 * radius + 9) // multiple) * multiple
    photo = torch.rand(1, 3, side, side, requires_grad=True)
    for middle in range(side // 2, side // 2 + multiple):
        (seen,) = torch.autograd.grad(network(photo)[0, :, middle, middle].sum(), photo)
        rows = seen.abs().sum((0, 1, 3)).nonzero().flatten()
        assert middle - radius <= int(rows.min()) < middle < int(rows.max()) <= middle + radius

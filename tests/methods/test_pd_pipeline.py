"""PD, a network on each sub-image, R3: what AP-BSN, SDAP and AMSNet do at test time."""

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.methods.pd_pipeline import Layout, PDPipeline, draw_subs
from nsp_cli.model.spec import Task
from nsp_cli.ops.masks import draw_patterns
from nsp_cli.ops.pd import pd_merge, pd_split
from nsp_cli.ops.refine import REPLACE_FRACTION, refine
from tests.conftest import tiny_network


def pipeline(network: nn.Module, **settings: object) -> PDPipeline:
    return PDPipeline(network, 2, Task.DENOISE, 3, **settings)


@torch.no_grad()
def test_without_further_passes_it_is_the_network_on_each_sub_image() -> None:
    network, photo = tiny_network(scale=1), torch.rand(2, 3, 32, 48)
    each = torch.stack([network(sub) for sub in pd_split(photo, 2).unbind(1)], 1)
    assert torch.allclose(pipeline(network)(photo), pd_merge(each, 2), atol=1e-6)


@torch.no_grad()
def test_further_passes_are_r3_on_that_result() -> None:
    network, photo = tiny_network(scale=1), torch.rand(1, 3, 32, 48)
    expected = refine(network, photo, pipeline(network)(photo), draw_patterns(3, REPLACE_FRACTION))
    assert torch.allclose(pipeline(network, passes=3)(photo), expected, atol=1e-6)
    assert torch.allclose(
        pipeline(network, passes=1, replace_fraction=0.0)(photo), network(pipeline(network)(photo)), atol=1e-6
    )


@torch.no_grad()
def test_layouts_agree_but_for_a_strip_along_the_border() -> None:
    network = tiny_network(scale=1)
    side, reach = 96, 2 * network.receptive_field_radius
    photo = torch.rand(1, 3, side, side)
    batch = pipeline(network)(photo)
    mosaic = pipeline(network, layout=Layout.MOSAIC)(photo)
    inside = slice(reach, side - reach)
    assert torch.allclose(batch[..., inside, inside], mosaic[..., inside, inside], atol=1e-6)
    assert (batch - mosaic).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("layout", list(Layout))
def test_zeros_lie_around_each_sub_image_as_the_released_ap_bsn_has_them(layout: Layout) -> None:
    network, photo = tiny_network(scale=1), torch.rand(1, 3, 32, 48)
    padded = [F.pad(sub, (2, 2, 2, 2)) for sub in pd_split(photo, 2).unbind(1)]  # (1, 3, 20, 28) each
    if layout is Layout.BATCH:
        each = [network(sub) for sub in padded]
    else:
        rows = [torch.cat(padded[:2], -1), torch.cat(padded[2:], -1)]
        each = [half for row in network(torch.cat(rows, -2)).chunk(2, -2) for half in row.chunk(2, -1)]
    expected = pd_merge(torch.stack([sub[..., 2:-2, 2:-2] for sub in each], 1), 2)
    assert torch.allclose(pipeline(network, layout=layout, pd_pad=2)(photo), expected, atol=1e-6)
    assert not torch.allclose(pipeline(network, layout=layout)(photo), expected, atol=1e-4)


@torch.no_grad()
def test_each_pass_of_r3_may_reflect_the_border_and_choose_by_channel() -> None:
    network, photo = tiny_network(scale=1), torch.rand(1, 3, 32, 48)
    patterns = draw_patterns(2, REPLACE_FRACTION, channels=3)
    assert patterns.shape == (2, 3, 16, 16)
    assert not torch.equal(patterns[0, 0], patterns[0, 1])
    assert patterns.sum((2, 3)).eq(round(REPLACE_FRACTION * 256)).all()

    def reflected(x: Tensor) -> Tensor:
        return network(F.pad(x, (2, 2, 2, 2), mode="reflect"))[..., 2:-2, 2:-2]

    expected = refine(reflected, photo, pipeline(network)(photo), patterns)
    released = pipeline(network, passes=2, refine_pad=2, masks_by_channel=True)
    assert torch.allclose(released(photo), expected, atol=1e-6)


@torch.no_grad()
def test_odd_sides_may_be_extended_by_zeros() -> None:
    network, photo = tiny_network(scale=1), torch.rand(1, 3, 33, 47)
    expected = pipeline(network)(F.pad(photo, (0, 1, 0, 1)))[..., :33, :47]
    assert torch.allclose(pipeline(network, zeros=True)(photo), expected, atol=1e-6)
    assert not torch.allclose(pipeline(network)(photo), expected, atol=1e-4)


def test_a_network_that_pools_takes_no_border() -> None:
    with pytest.raises(ModelError, match="must be 0 for a network of multiples of 4"):
        pipeline(Given(), pd_pad=1)


class Given(nn.Module):
    """Takes note of what it is given, and gives it back."""

    scale, receptive_field_radius, size_multiple, activation_floats_per_pixel = 1, 3, 4, 8

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[torch.Size] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(x.shape)
        return x


def test_a_photo_is_padded_no_further_than_its_sides_must_divide() -> None:
    network, photo = Given(), torch.rand(1, 3, 33, 40)
    for layout, shape in [(Layout.BATCH, (4, 3, 20, 20)), (Layout.MOSAIC, (1, 3, 40, 40))]:
        assert torch.equal(pipeline(network, layout=layout)(photo), photo)
        assert network.shapes.pop() == shape


def test_tiles_start_where_patterns_and_network_allow_it() -> None:
    network = Given()
    assert pipeline(network).spec.multiple == 8
    assert pipeline(network, passes=1).spec.multiple == 16
    assert pipeline(network, period=16).spec.multiple == 32
    assert pipeline(network).spec.halo == 16  # the smallest picture that a network is given
    wide = Given()
    wide.receptive_field_radius = 30
    assert (pipeline(wide).spec.halo, pipeline(wide, passes=1).spec.halo) == (64, 96)


def test_what_enlarges_is_refused() -> None:
    with pytest.raises(ModelError, match="scale 1, got scale 2"):
        pipeline(tiny_network(scale=2))
    with pytest.raises(ModelError, match="has no "):
        PDPipeline(Given(), 2, Task.DIRECT, 3)


def test_sub_images_are_drawn_without_repetition_and_all_by_default() -> None:
    photos = torch.rand(2, 3, 32, 31)
    phases = pd_split(photos[..., :30, :30], 5)
    assert torch.equal(draw_subs(photos, 5, 0, Generator()), phases.flatten(0, 1))
    drawn = draw_subs(photos, 5, 24, Generator().manual_seed(1)).unflatten(0, (2, 24))
    found = [[torch.equal(drawn[:, i], phases[:, k]) for k in range(25)].index(True) for i in range(24)]
    assert len(set(found)) == 24
    assert found != sorted(found)

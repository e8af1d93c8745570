"""NSP's pairs, its loss, and its way at test time."""

import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods import STRATEGIES, build_method
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.spec import Task
from nsp_cli.ops.pd import pd_merge, pd_split
from tests.conftest import tiny_network
from tests.methods.cases import TINY_BLIND, TINY_TBSN, Case, Trial, numbered

CASES = [
    Case(
        method="nsp",
        method_args={"strategy": "consecutive", "inputs": 2},
        network="dbsn",
        network_args={"width": 8, "depth": 1, "residual": True},
        blind_spot=1,
        size=3_750_723,
        size_args={"scale": 2},
        lr=1e-2,
    ),
    Case(
        method="nsp",
        method_args={"strategy": "canonical", "canonical_strides": (2,)},
        network="atbsn",
        network_args={"width": 6, "levels": 1},
        blind_spot=1,
        size=1_379_427,
        size_args={"scale": 2},
        patch=72,
    ),
    Case(
        method="nsp",
        method_args={"strategy": "canonical", "canonical_strides": (2,), "coarse_chroma": True},
        network="dbsn",
        network_args={"width": 8, "depth": 1, "residual": True},
        blind_spot=1,
        size=3_750_723,
        size_args={"scale": 2},
        lr=1e-2,
    ),
    Case(
        method="nsp",
        method_args={"inputs": 1},
        network="tbsn",
        network_args=TINY_TBSN,
        blind_spot=1,
        size=12_766_148,
        size_args={"scale": 2},
        seam=0.01,
    ),
]

TRIALS = [
    Trial("nsp", "dbsn", TINY_BLIND, {"inputs": 2}, steps=100),
    Trial("nsp", "dbsn", TINY_BLIND, {"strategy": "canonical", "canonical_grids": 2}, steps=100, variant="canonical"),
]


@pytest.mark.parametrize("strategy", STRATEGIES[:-1])
@pytest.mark.parametrize(("s", "t", "n"), [(5, 2, 1), (5, 2, 4), (4, 2, 2), (5, 4, 1), (3, 1, 3)])
def test_pairs_use_every_pixel_once(strategy: str, s: int, t: int, n: int) -> None:
    photos = numbered(2, 6 * s, 6 * s)
    inputs, targets = NSP(scale=t, stride=s, targets=n, strategy=strategy).pairs(photos, Generator())
    assert inputs.shape == (2, s * s - n * t * t, 1, 6, 6)
    assert targets.shape == (2, n, 1, 6 * t, 6 * t)
    for b in range(2):
        used = torch.cat([inputs[b].flatten(), targets[b].flatten()]).sort().values
        assert torch.equal(used, photos[b].flatten())


def test_a_target_patch_comes_from_the_cell_of_its_input() -> None:
    photos = numbered(1, 30, 30)
    inputs, targets = NSP(targets=2).pairs(photos, Generator())
    rows, columns = (targets // 30 // 5).long(), (targets % 30 // 5).long()
    assert torch.equal(rows[0, 0, 0, ::2, 0], torch.arange(6))
    assert torch.equal(columns[0, 1, 0, 0, 1::2], torch.arange(6))
    assert ((inputs // 30 // 5)[0, :, 0, 2, :] == 2).all()


def test_a_subset_of_inputs_is_a_subset() -> None:
    inputs, targets = NSP(inputs=3).pairs(numbered(2, 40, 40), Generator())
    assert inputs.shape[:2] == (2, 3)
    assert targets.shape == (2, 1, 1, 16, 16)


@pytest.mark.parametrize("h", [1, 2, 3])
def test_the_canonical_input_is_the_corner_of_its_target(h: int) -> None:
    photos = numbered(2, 50, 50)
    for seed in range(10):
        method = NSP(strategy="canonical", canonical_strides=(h,), canonical_grids=2)
        inputs, targets = method.pairs(photos, Generator().manual_seed(seed))
        assert len(inputs) == 2 * 2  # of each photo
        assert torch.equal(inputs, targets[..., ::2, ::2])
        target = targets[0, 0, 0]
        assert (target[:, 1:] - target[:, :-1] == h).all()
        assert (target[1:] - target[:-1] == 50 * h).all()


def test_every_phase_of_the_canonical_grid_is_drawn() -> None:
    method = NSP(strategy="canonical", canonical_strides=(2,))
    generator = Generator().manual_seed(0)
    first = {float(method.pairs(numbered(1, 50, 50), generator)[0].min()) for _ in range(300)}
    assert first == {50.0 * p + q for p in range(4) for q in range(4)}


def test_the_loss_is_the_mean_over_all_pairs() -> None:
    class Half(nn.Module):
        size_multiple = 1

        def forward(self, x: Tensor) -> Tensor:
            return torch.full((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]), 0.5)

    method, photos = NSP(targets=4, strategy="intersected"), torch.rand(2, 3, 40, 40)
    loss = method.loss(Half(), photos, Generator().manual_seed(3))
    _, targets = method.pairs(photos, Generator().manual_seed(3))
    assert torch.allclose(loss, (targets - 0.5).abs().mean())


@pytest.mark.parametrize("strategy", ["consecutive", "canonical"])
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(("h", "w"), [(1, 1), (3, 50), (33, 20)])
def test_a_pipeline_takes_any_size(strategy: str, task: Task, h: int, w: int) -> None:
    pipeline = NSP(strategy=strategy).pipeline(tiny_network(), task)
    scale = 1 if task is Task.DENOISE else 2
    with torch.no_grad():
        assert pipeline(torch.rand(1, 3, h, w)).shape == (1, 3, scale * h, scale * w)


def test_denoising_is_the_mean_over_sub_images_and_shuffle_their_pd_merge() -> None:
    network, method, photo = tiny_network(), NSP(strategy="consecutive"), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        each = torch.stack([network(sub) for sub in pd_split(photo, 2).unbind(1)], 1)
        denoised = method.pipeline(network, Task.DENOISE)(photo)
        shuffled = method.pipeline(network, Task.SHUFFLE)(photo)
        twice = method.pipeline(network, Task.SHUFFLE_DENOISE)(photo)
        direct = method.pipeline(network, Task.DIRECT)(photo)
        assert torch.allclose(denoised, each.mean(1), atol=1e-6)
        assert torch.allclose(shuffled, pd_merge(each, 2), atol=1e-6)
        assert torch.allclose(twice, method.pipeline(network, Task.DENOISE)(shuffled), atol=1e-6)
        assert torch.allclose(direct, network(photo), atol=1e-6)


class Repeat(nn.Module):
    """A network that puts each input pixel on its corner and marks the three others with NaN-free zeros."""

    scale, receptive_field_radius, size_multiple, activation_floats_per_pixel = 2, 1, 1, 8

    def forward(self, x: Tensor) -> Tensor:
        corner = torch.zeros(2, 2)
        corner[0, 0] = 1
        return torch.kron(x, corner)


def test_canonical_flips_put_every_pixel_back_where_it_was() -> None:
    photo = torch.rand(1, 3, 32, 48)
    # Each phase returns its own pixels in place and zeros elsewhere: four times the mean is the photo itself.
    result = NSP(strategy="canonical").pipeline(Repeat(), Task.DENOISE)(photo)
    assert torch.equal(4 * result, photo)


@pytest.mark.parametrize("strategy", ["consecutive", "canonical"])
def test_a_view_is_the_prediction_of_one_phase(strategy: str) -> None:
    network, photo = tiny_network(), torch.rand(1, 3, 32, 32)
    whole = NSP(strategy=strategy)
    with torch.no_grad():
        views = [
            NSP(strategy=strategy, **view).pipeline(network, Task.DENOISE)(photo) for view in whole.inference_variants
        ]
        each = whole.pipeline(network, Task.DENOISE)._predictions(photo)
    assert len(views) == 4
    assert all(torch.allclose(view, each[:, phase], atol=1e-6) for phase, view in enumerate(views))
    with pytest.raises(ModelError, match="does not enlarge"):
        NSP(phase=0).pipeline(network, Task.SHUFFLE)


def test_pairs_are_cut_to_what_a_pooling_network_takes() -> None:
    class Pooling(nn.Module):
        size_multiple = 4

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[-2:] == (8, 8)
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    NSP(strategy="consecutive").loss(Pooling(), torch.rand(1, 3, 55, 57), Generator())
    with pytest.raises(UsageError, match="at least 4x4 pixels, and this `patch` gives it 3x3"):
        NSP(strategy="consecutive").loss(Pooling(), torch.rand(1, 3, 15, 15), Generator())


def test_a_pipeline_is_blind_pixel_by_pixel_within_each_sub_image() -> None:
    """A photo's own pixel reaches its result only through other phases' predictions: a quarter of the mean each."""
    network, photo = tiny_network(), torch.rand(1, 3, 32, 32, requires_grad=True)
    pipeline = NSP(strategy="canonical").pipeline(network, Task.DENOISE)
    predictions = pipeline._predictions(photo)
    predictions[:, 0, :, 16, 16].sum().backward()
    assert photo.grad is not None
    assert (photo.grad[..., 16, 16] == 0).all()
    assert (photo.grad != 0).any()


def test_wrong_settings_are_usage_errors() -> None:
    for wrong in ({"strategy": "best"}, {"strategy": "canonical", "scale": 3}, {"phase": 4}, {"targets": 0}):
        with pytest.raises(UsageError):
            NSP(**wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelError, match="no method 'n2v'"):
        build_method("n2v", {})
    with pytest.raises(ModelError, match="does not take"):
        build_method("nsp", {"colour": 1})
    with pytest.raises(ModelError, match="needs a network of that scale"):
        NSP(scale=3).pipeline(tiny_network(), Task.DENOISE)

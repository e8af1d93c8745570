"""What must be true of every method: one parametrised contract, for the `CASES` of each method's own test file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.engine.backends.device import Precision
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.export.onnx_file import TOLERANCE, export
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image import Frame
from nsp_cli.methods import METHODS, REGISTERED, Method, Pipeline, build_method, check_network
from nsp_cli.model.checkpoint import load_model, load_tensors, save_model
from nsp_cli.model.spec import ModelSpec, Task
from nsp_cli.networks import (
    NETWORKS,
    PLAIN_NETWORKS,
    WITH_BLIND_SPOT,
    as_network,
    build_network,
    has_input_skip,
    is_noise_conditional,
)
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from nsp_cli.training import PHOTOGRAPHER, PRESETS, Job, describe_methods, train
from tests.methods.cases import Case, tables_of

CASES: list[Case] = [case for method in REGISTERED for case in tables_of(method.name).CASES]

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

SLOW_GRAPHS = {"tbsn", "atbsn", "n2nunet", "nafnet"}  # networks whose export takes longest


def is_slow_to_export(case: Case) -> bool:
    return case.network in SLOW_GRAPHS or case.method == "apbsn" or case.method_args.get("ensemble", 1) > 1


every_export = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] * is_slow_to_export(case)) for case in CASES],
    ids=lambda case: case.name,
)


def photo(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=Generator().manual_seed(seed))


def examples(case: Case, method: Method, count: int = 4) -> Tensor:
    """A batch as the trainer gives it: crops of noisy (or clean) sample pictures, made into examples."""
    batch: list[np.ndarray] = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        clean = sample_picture(case.patch, case.patch, rng)
        crop = clean if method.needs_clean_photos else simulate(clean, Camera(), rng)[0]
        if method.needs_teachers:  # two that blur
            crop = np.concatenate([crop, *(cv2.GaussianBlur(crop, (0, 0), sigma) for sigma in (0.7, 1.5))], 2)
        batch.append(method.make_example(crop, rng))
    return torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).contiguous()


def test_every_method_and_every_network_is_under_contract() -> None:
    assert {case.method for case in CASES} == set(METHODS)
    assert {case.network for case in CASES} == set(NETWORKS)
    for presets in PRESETS.values():
        assert PHOTOGRAPHER in presets
    assert set(PRESETS) == set(METHODS)


def test_a_method_holds_its_name_help_line_and_presets() -> None:
    assert [method.name for method in REGISTERED] == list(METHODS)
    for method in REGISTERED:
        assert method.summary[0].islower()
        assert not method.summary.endswith(".")
        assert list(PRESETS[method.name]) == list(method.presets)
        for name, preset in method.presets.items():
            assert f"--preset {name}: {preset.summary}" in describe_methods()


@pytest.mark.parametrize("method", REGISTERED, ids=lambda method: method.name)
@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_method_trains_the_networks_of_its_row_in_the_docs_alone(method: Any, network: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| \[`{method.name}`\].*", page, re.M)
    column = row.split("|")[4]
    of_docs = PLAIN_NETWORKS if "without a blind spot" in column else tuple(re.findall("`([a-z]+)`", column))
    assert tuple(method.networks) == of_docs
    if network in of_docs:
        check_network(method.name, network)
        return
    kind = "with" if set(of_docs) <= set(WITH_BLIND_SPOT) else "without"
    with pytest.raises(UsageError, match=rf"'{method.name}' trains networks {kind} a blind spot \({of_docs[0]}"):
        check_network(method.name, network)


def test_cases_and_presets_are_pairs_that_are_trained() -> None:
    for case in CASES:
        check_network(case.method, case.network)
    for method, presets in PRESETS.items():
        for settings in presets.values():
            check_network(method, settings.network)


@pytest.mark.parametrize("name", ["amsnet", "rd"])
def test_a_method_without_a_noise_level_refuses_a_network_with_one(name: str) -> None:
    method = build_method(name, {})
    network = build_network("resunet", {"widths": (8, 8), "depths": (1, 1), "noise_level": True})
    with pytest.raises(UsageError, match=r"add `network_args\.noise_level=false`"):
        method.loss(network, torch.rand(1, 9 if method.needs_teachers else 3, 80, 80), Generator())


@every
def test_the_published_network_has_its_published_size(case: Case) -> None:
    with torch.device("meta"):
        network = build_network(case.network, case.size_args)
    assert sum(parameter.numel() for parameter in network.parameters()) == case.size


@every
def test_no_output_depends_on_its_own_blind_spot(case: Case) -> None:
    """By gradient: the output of one pixel, with respect to the input, is zero in the blind spot alone."""
    if not case.blind_spot:
        pytest.skip("claims no blindness")
    _, network = case.build()
    x = photo(32, 32).requires_grad_()
    out = network(x)
    scale = out.shape[-1] // 32
    y, column, reach = 15, 14, case.blind_spot // 2
    out[..., y * scale : (y + 1) * scale, column * scale : (column + 1) * scale].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    assert not seen[y - reach : y + reach + 1, column - reach : column + reach + 1].any()
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        assert seen[y + (reach + 1) * dy, column + (reach + 1) * dx]


@every
def test_a_network_with_an_input_skip_is_one_that_adds_to_the_photo(case: Case) -> None:
    """Float32 is the default of all others: bfloat16 would round the photo itself."""
    _, network = case.build()
    last = getattr(network, "fine", network).last
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    planes = 3 + is_noise_conditional(as_network(network))
    with torch.no_grad():
        left = network(photo(32, 32)[:, [0, 1, 2, 0][:planes]]).abs().max()
    assert bool(left > 0) is has_input_skip(as_network(network))


@every
@pytest.mark.slow
def test_the_loss_falls(case: Case) -> None:
    method, network = case.build()
    batch = examples(case, method)
    optimizer = torch.optim.Adam(network.parameters(), lr=case.lr)
    losses: list[float] = []
    for step in range(60):
        loss = method.loss(network, batch, Generator().manual_seed(step % 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


@every
@pytest.mark.parametrize(("height", "width"), [(37, 53), (3, 5), (1, 20)])
def test_any_size_comes_out_as_it_went_in(case: Case, height: int, width: int) -> None:
    method, network = case.build()
    with torch.no_grad():
        out = method.pipeline(network, Task.DENOISE)(photo(height, width))
    assert out.shape == (1, 3, height, width)
    assert torch.isfinite(out).all()


@every
def test_tiled_equals_whole(case: Case) -> None:
    method, network = case.build()
    backend = TorchBackend(method.pipeline(network, Task.DENOISE), torch.device("cpu"), Precision.FP32)
    assert bool(backend.spec.tile) == bool(case.seam)
    side = backend.spec.tile // 2 or backend.spec.multiple * 3 + 2 * backend.spec.halo + 5
    frame = Frame(photo(side, side + 3)[0].permute(1, 2, 0).numpy())
    whole = process(frame, backend, tile=4 * side).pixels
    tiled = process(frame, backend, tile=backend.spec.tile // 4 or backend.spec.multiple * 2).pixels
    if case.seam:
        assert 0 < np.abs(tiled - whole).mean() < case.seam
    else:
        np.testing.assert_allclose(tiled, whole, atol=2e-5)


@every
def test_bf16_is_close_to_float32(case: Case) -> None:
    method, network = case.build()
    pipeline = method.pipeline(network, Task.DENOISE)
    noisy = photo(48, 48).numpy()
    exact, rough = (
        TorchBackend(pipeline, torch.device("cpu"), precision).run(noisy)
        for precision in (Precision.FP32, Precision.BF16)
    )
    assert np.abs(exact - rough).mean() < 0.02 * max(float(np.abs(exact).mean()), 0.1)


@every_export
@pytest.mark.slow
def test_onnx_equals_torch(case: Case, tmp_path: Path) -> None:
    """`export` checks several sizes itself and raises where they differ."""
    method, network = case.build()
    pipeline: Pipeline = method.pipeline(network, Task.DENOISE)
    spec = ModelSpec(case.network, case.network_args, case.method, case.method_args)
    assert export(pipeline, spec, tmp_path / "model.onnx") <= TOLERANCE


@every
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    case: Case, noisy_photos: Path, weights: Callable[..., Path], tmp_path: Path
) -> None:
    taught = {"teachers": (str(weights()),), "teacher_views": 2} if case.build()[0].needs_teachers else {}
    settings = case.settings(**taught)

    def job(name: str, **changes: Any) -> Job:
        target = tmp_path / f"{name}.safetensors"
        return Job(sorted(noisy_photos.iterdir()), target, tmp_path / f"{name}.run", device="cpu", **changes)

    train(settings, job("whole"))
    calls = iter([False, False, True])
    train(settings, job("broken", stop=lambda: next(calls)))
    broken = load_tensors(tmp_path / "broken.safetensors")[0]
    whole = load_tensors(tmp_path / "whole.safetensors")[0]
    assert any(not torch.equal(whole[k], broken[k]) for k in whole)
    train(settings, job("broken", resume=True))
    resumed = load_tensors(tmp_path / "broken.safetensors")[0]
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


@every
def test_a_checkpoint_rebuilds_its_own_pipeline(case: Case, tmp_path: Path) -> None:
    method, network = case.build()
    arguments = {**case.network_args, **method.network_args}
    save_model(network, ModelSpec(case.network, arguments, case.method, case.method_args), tmp_path / "w.safetensors")
    again, spec = load_model(tmp_path / "w.safetensors")
    rebuilt = build_method(spec.method, spec.method_args).pipeline(again, Task.DENOISE)
    with torch.no_grad():
        expected, result = method.pipeline(network, Task.DENOISE)(photo(40, 40)), rebuilt(photo(40, 40))
    assert torch.equal(expected, result)

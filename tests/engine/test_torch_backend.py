"""The torch backend: precisions that agree, devices that are there, memory errors that are understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nsp_cli import api
from nsp_cli.engine.backends.base import Backend, half_size_backend
from nsp_cli.engine.backends.device import Precision, choose_device, choose_precision, memory_errors
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.process import process
from nsp_cli.errors import BackendError, MemoryLimitError
from nsp_cli.image import Frame, write
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec, PipelineSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from tests.cli.test_commands import run
from tests.conftest import TINY, tiny_network

CPU = torch.device("cpu")


def test_bf16_is_close_to_fp32() -> None:
    pipeline = NSP(strategy="canonical").pipeline(tiny_network(width=16, depth=3), Task.DENOISE)
    frame = Frame(sample_picture(96, 128, np.random.default_rng(0)))
    exact, fast = (process(frame, TorchBackend(pipeline, CPU, Precision(p))).pixels for p in ("fp32", "bf16"))
    difference = np.abs(exact - fast)
    assert 0 < difference.mean() < 2e-3
    assert abs(float((exact - fast).mean())) < 2e-4  # no colour shift


@pytest.mark.parametrize(
    ("method", "network", "arguments", "expected"),
    [
        ("apr", "atbsn", {"width": 4, "levels": 1, "scale": 1}, Precision.FP32),
        ("rd", "unet", {"width": 4, "levels": 2}, Precision.FP32),
        ("nsp", "dbsn", {**TINY, "residual": False}, Precision.FP32),
        ("nsp", "dbsn", TINY, Precision.BF16),
        ("rd", "resunet", {"widths": (4, 4), "depths": (1, 1)}, Precision.BF16),
    ],
)
def test_networks_without_an_input_skip_run_in_float32_by_default(
    method: str,
    network: str,
    arguments: dict[str, Any],
    expected: Precision,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BFloat16 rounds what they output, the photo itself; a network with a skip rounds what it adds to the photo."""
    monkeypatch.setattr("nsp_cli.engine.backends.device._has_bf16", lambda _: True)
    path = tmp_path / "w.safetensors"
    save_model(build_network(network, arguments), ModelSpec(network, arguments, method, {}), path)
    default, chosen = (api.load_backend(path, device="cpu", precision=p) for p in ("auto", "bf16"))
    assert isinstance(default, TorchBackend)
    assert isinstance(chosen, TorchBackend)
    assert (default.precision, chosen.precision) == (expected, Precision.BF16)


def test_a_backend_leaves_no_gradient_and_keeps_float32() -> None:
    backend = TorchBackend(NSP().pipeline(tiny_network(), Task.DENOISE), CPU, Precision.BF16)
    result = backend.run(np.random.default_rng(0).random((1, 3, 16, 16), np.float32))
    assert result.dtype == np.float32
    assert backend.free_bytes() > 10**6


def test_devices_and_precisions_that_are_not_there_are_refused() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device().type in ("cpu", "cuda", "mps")
    for name in ("cuda:99", "tpu", "xpu"):
        with pytest.raises(BackendError):
            choose_device(name)
    assert choose_precision(CPU) in (Precision.FP32, Precision.BF16)
    with pytest.raises(BackendError, match="needs a GPU"):
        choose_precision(CPU, Precision.FP16)


def test_every_way_to_run_out_of_memory_is_understood() -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(MemoryLimitError), memory_errors():
            raise error
    with pytest.raises(RuntimeError, match="something else"), memory_errors():
        raise RuntimeError("something else")


@dataclass
class WithHalo:
    """A backend whose tiles are read with another halo."""

    backend: Backend
    halo: int

    @property
    def half(self) -> WithHalo | None:
        half = half_size_backend(self.backend)
        return None if half is self.backend else WithHalo(half, self.halo)

    @property
    def spec(self) -> PipelineSpec:
        return self.backend.spec if self.half else replace(self.backend.spec, halo=self.halo)

    def run(self, tile: np.ndarray) -> np.ndarray:
        return self.backend.run(tile)

    def free_bytes(self) -> int:
        return self.backend.free_bytes()


@pytest.mark.parametrize(
    ("name", "settings", "halo"),
    [
        ("fast", {}, 80),
        ("fast-research", {}, 88),
        ("fast", {"coarse_chroma": True}, 88),
        ("quick", {}, 80),
        ("quick", {"coarse_chroma": True}, 80),
        ("best", {"ensemble": 1}, 88),
    ],
)
@pytest.mark.slow
def test_the_measured_halo_of_shipped_weights_leaves_no_seam(name: str, settings: dict[str, Any], halo: int) -> None:
    exact, measured = (
        api.load_backend(name, device="cpu", precision="fp32", backend="torch", settings=settings, exact_halo=exact)
        for exact in (True, False)
    )
    own, part = (half_size_backend(backend).spec for backend in (exact, measured))
    assert part == replace(own, halo=halo)
    rng = np.random.default_rng(0)
    scales = 1 if half_size_backend(exact) is exact else 2
    side = (3 * halo + 64) * scales
    noisy, _ = simulate(sample_picture(side, side, rng), Camera(shot_gain=2e-2, read_noise=2e-2), rng)
    whole, tiled, narrow = (
        process(Frame(noisy), backend, tile=side // (2 * scales)).pixels
        for backend in (exact, measured, WithHalo(exact, 16))
    )
    assert 255 * np.abs(tiled - whole).max() < 0.5
    assert 255 * np.abs(narrow - whole).max() > 0.5  # the halo is what keeps the error down


def test_a_measured_halo_travels_with_the_weights(weights: Callable[..., Path], tmp_path: Path) -> None:
    network, spec = load_model(weights())
    whole = api.load_backend(weights(), device="cpu").spec
    halos: list[int] = []
    for halo in (1, 10_000):
        save_model(network, replace(spec, halo=halo), tmp_path / "measured.safetensors")
        halos.append(api.load_backend(tmp_path / "measured.safetensors", device="cpu").spec.halo)
        exact = api.load_backend(tmp_path / "measured.safetensors", device="cpu", exact_halo=True)
        assert exact.spec == whole
    assert halos == [whole.multiple, whole.halo]  # a multiple, and never more than the receptive field


class Overflowing(nn.Module):
    """A pipeline whose result is infinite in bf16 and finite in float32."""

    spec = PipelineSpec(task="denoise", scale=1, multiple=1, halo=0, working_bytes=100)

    def __init__(self) -> None:
        super().__init__()
        self.precisions: list[bool] = []

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        low = torch.is_autocast_enabled("cpu")
        self.precisions.append(low)
        return photo / (0.0 if low else 1.0)


def test_a_pass_that_overflows_is_repeated_in_float32() -> None:
    pipeline = Overflowing()
    tile = np.full((1, 3, 4, 4), 0.5, np.float32)
    np.testing.assert_array_equal(TorchBackend(pipeline, CPU, Precision.BF16).run(tile), tile)
    assert pipeline.precisions == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_give_no_finite_result_write_nothing(tmp_path: Path, value: float) -> None:
    network = tiny_network()
    with torch.no_grad():
        next(network.parameters()).fill_(value)
    spec = ModelSpec("dbsn", TINY, "nsp", {"strategy": "canonical"})
    save_model(network, spec, tmp_path / "bad.safetensors")
    write(Frame(np.full((16, 16, 3), 128, np.uint8)), tmp_path / "in.png")
    code, said = run("denoise", tmp_path / "in.png", tmp_path / "out.png", "-m", tmp_path / "bad.safetensors")
    assert (code, "not finite" in said) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors", "in.png"]

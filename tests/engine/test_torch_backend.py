"""The torch backend: precisions that agree, devices that are there, memory errors that are understood."""

import numpy as np
import pytest
import torch

from nsp_cli.engine.backends.device import Precision, choose_device, choose_precision, memory_errors
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.process import process
from nsp_cli.errors import BackendError, MemoryLimitError
from nsp_cli.image import Frame
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.spec import Task
from nsp_cli.simulation.scene import sample_picture
from tests.conftest import tiny_network

CPU = torch.device("cpu")


def test_bf16_is_close_to_fp32() -> None:
    pipeline = NSP(strategy="canonical").pipeline(tiny_network(width=16, depth=3), Task.DENOISE)
    frame = Frame(sample_picture(96, 128, np.random.default_rng(0)))
    exact, fast = (process(frame, TorchBackend(pipeline, CPU, Precision(p))).pixels for p in ("fp32", "bf16"))
    difference = np.abs(exact - fast)
    assert 0 < difference.mean() < 2e-3
    assert abs(float((exact - fast).mean())) < 2e-4  # no colour shift


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

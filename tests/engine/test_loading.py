"""Loading: the backend, graph and precision that a model is opened with."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nsp_cli.engine import loading
from nsp_cli.engine.backends import machine, onnx_backend, openvino_backend
from nsp_cli.engine.backends.machine import Machine
from nsp_cli.errors import BackendError, ModelError, UsageError
from nsp_cli.model.registry import shipped_folder
from nsp_cli.model.spec import PipelineSpec, Task

SPEC = PipelineSpec(Task.DENOISE, scale=1, multiple=8, halo=80, working_bytes=576)
PLANES = replace(SPEC, noise_level=True, side_multiple=8)
MACHINE = Machine(gpu=False, bf16=False, fast_int8=False, openvino=True)


def run_on(monkeypatch: pytest.MonkeyPatch, there: Machine) -> None:
    """Open models as on another machine."""
    monkeypatch.setattr(Machine, "here", lambda: there)
    monkeypatch.setattr(loading, "has_bf16", lambda: there.bf16)


@pytest.mark.parametrize(
    ("asked", "bf16", "gpu", "installed", "kind"),
    [
        ({}, False, False, True, "OpenVinoBackend fp32"),
        ({}, True, False, True, "OpenVinoBackend bf16"),  # how much there is to do is not known
        ({"megapixels": 0.1}, True, False, True, "OnnxBackend"),
        ({"megapixels": 24}, True, False, True, "OpenVinoBackend bf16"),
        ({"megapixels": 24, "precision": "fp32"}, True, False, True, "OpenVinoBackend fp32"),
        ({"megapixels": 0.1, "precision": "bf16"}, True, False, True, "OpenVinoBackend bf16"),
        ({"megapixels": 24, "precision": "bf16"}, False, False, True, "TorchBackend"),
        ({"megapixels": 0.1, "backend": "openvino"}, False, False, True, "OpenVinoBackend fp32"),
        ({"megapixels": 24}, False, False, False, "OnnxBackend"),
        ({"megapixels": 24}, True, False, False, "TorchBackend"),
        ({"megapixels": 2}, True, False, False, "OnnxBackend"),
        ({"precision": "fp32"}, True, False, False, "OnnxBackend"),
        ({"precision": "bf16", "megapixels": 0.1}, True, False, False, "TorchBackend"),
        ({"backend": "torch", "megapixels": 0.1}, False, False, True, "TorchBackend"),
        ({"backend": "onnx", "megapixels": 24}, True, False, True, "OnnxBackend"),
        ({"megapixels": 0.1}, False, True, True, "TorchBackend"),
        ({"megapixels": 0.1, "device": "cpu"}, False, True, True, "OnnxBackend"),
        ({"megapixels": 24, "device": "cpu:0"}, False, True, True, "OpenVinoBackend fp32"),
        ({"megapixels": 0.1, "exact_halo": True}, False, False, True, "TorchBackend"),
        ({"megapixels": 0.1, "model": "nsp"}, False, False, True, "TorchBackend"),
    ],
)
def test_the_runtime_of_a_shipped_model_is_the_fastest(
    monkeypatch: pytest.MonkeyPatch, asked: dict, bf16: bool, gpu: bool, installed: bool, kind: str
) -> None:
    run_on(monkeypatch, replace(MACHINE, gpu=gpu, bf16=bf16, openvino=installed))
    made: list[str] = []
    monkeypatch.setattr(
        openvino_backend,
        "OpenVinoBackend",
        lambda _, precision: made.append(precision) or SimpleNamespace(spec=SPEC),
    )
    opened = type(loading.load_backend(**asked)).__name__
    assert (f"OpenVinoBackend {made[0]}" if made else opened) == kind


def test_what_the_machine_can_do_is_found_without_torch() -> None:
    assert machine.has_gpu() or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if sys.platform == "linux":
        assert machine.has_bf16() == torch.cpu._is_avx512_bf16_supported()
        assert machine.has_fast_int8() == torch.cpu._is_avx2_supported()


@pytest.mark.parametrize(
    ("asked", "fast_int8", "gpu", "installed", "kind"),
    [
        ({"megapixels": 24}, True, False, True, "OpenVinoBackend int8"),
        ({"megapixels": 24}, False, False, True, "OpenVinoBackend fp32"),
        ({"megapixels": 24, "precision": "int8"}, False, False, True, "OpenVinoBackend int8"),
        ({"megapixels": 24, "precision": "fp32"}, True, False, True, "OpenVinoBackend fp32"),
        ({"megapixels": 24, "backend": "onnx"}, True, False, True, "OnnxBackend fp32"),
        ({"megapixels": 24}, True, False, False, "OnnxBackend fp32"),
        ({"megapixels": 24, "precision": "int8"}, True, False, False, "OnnxBackend int8"),
        ({"megapixels": 0.1}, True, False, True, "OnnxBackend fp32"),
        ({"megapixels": 24, "backend": "torch"}, True, False, True, "TorchBackend fp32"),
        ({"megapixels": 24}, True, True, True, "TorchBackend fp32"),
        ({"megapixels": 24, "bf16": True}, True, False, True, "OpenVinoBackend int8"),
        ({"megapixels": 24, "bf16": True}, False, False, True, "OpenVinoBackend bf16"),
        ({"megapixels": 24, "precision": "int8", "bf16": True}, True, False, True, "OpenVinoBackend int8"),
        ({"megapixels": 24, "device": "cpu"}, True, True, True, "OpenVinoBackend int8"),
    ],
)
def test_int8_is_chosen_where_it_is_the_fastest(
    monkeypatch: pytest.MonkeyPatch, asked: dict, fast_int8: bool, gpu: bool, installed: bool, kind: str
) -> None:
    bf16 = asked.pop("bf16", False)
    run_on(monkeypatch, Machine(gpu=gpu, bf16=bf16, fast_int8=fast_int8, openvino=installed))
    made: list[str] = []
    monkeypatch.setattr(
        openvino_backend, "OpenVinoBackend", lambda _, precision: made.append(precision) or SimpleNamespace(spec=PLANES)
    )
    opened = loading.load_backend("fast", **asked)
    runtime = type(opened).__name__
    found = f"OpenVinoBackend {made[0]}" if made else f"{runtime} {'int8' if opened.spec.int8 else 'fp32'}"
    assert found == kind


@pytest.mark.parametrize(
    ("asked", "file", "has", "kind"),
    [
        ({}, "fast-denoise-int8", {}, "OpenVinoBackend int8"),
        ({"megapixels": 0.1}, "fast-denoise-int8", {}, "OnnxBackend"),
        ({"megapixels": 0.1, "backend": "openvino"}, "fast-denoise-int8", {}, "OpenVinoBackend int8"),
        ({"backend": "openvino"}, "fast-denoise-int8", {"fast_int8": False}, "OpenVinoBackend int8"),
        ({"backend": "onnx"}, "fast-denoise-int8", {}, "OnnxBackend"),
        ({}, "fast-denoise-int8", {"fast_int8": False}, "OnnxBackend"),
        ({}, "fast-denoise-int8", {"openvino": False}, "OnnxBackend"),
        ({}, "fast-denoise-int8", {"gpu": True}, "OpenVinoBackend int8"),  # onnxruntime cannot use it
        ({"backend": "openvino"}, "fast-denoise-int8", {"gpu": True}, "OpenVinoBackend int8"),
        ({}, "fast-denoise", {}, "OnnxBackend"),
    ],
)
def test_a_file_in_int8_runs_where_it_is_the_fastest(
    monkeypatch: pytest.MonkeyPatch, asked: dict, file: str, has: dict, kind: str
) -> None:
    run_on(monkeypatch, replace(MACHINE, **{"fast_int8": True, **has}))
    monkeypatch.setattr(onnx_backend.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    made: list[str] = []
    monkeypatch.setattr(
        openvino_backend, "OpenVinoBackend", lambda _, precision: made.append(precision) or SimpleNamespace(spec=PLANES)
    )
    opened = loading.load_backend(shipped_folder() / f"{file}.onnx", **asked)
    assert (f"OpenVinoBackend {made[0]}" if made else type(opened).__name__) == kind


@pytest.mark.parametrize(
    ("file", "asked", "error", "said"),
    [
        ("fast-denoise", {"backend": "openvino"}, UsageError, r"and \.onnx files in int8, got fast-denoise\.onnx"),
        ("fast-denoise-int8", {"backend": "torch"}, UsageError, r"runs a \.safetensors file, got"),
        ("fast-denoise-int8", {"precision": "fp32"}, BackendError, "runs in int8, got `precision=fp32`"),
        ("fast-denoise-int8", {"backend": "openvino", "precision": "fp32"}, BackendError, "runs in int8, got"),
        ("fast-denoise-int8", {"settings": {"ensemble": 2}}, UsageError, "were fixed when it was exported"),
        ("quick-denoise", {}, ModelError, "one of two that run together"),
        ("quick-denoise-int8", {}, ModelError, "one of two that run together"),
        ("fast-denoise-int8", {"task": "direct"}, ModelError, "was exported for 'denoise', not for 'direct'"),
    ],
)
def test_the_cause_is_named_where_a_file_does_not_run(
    monkeypatch: pytest.MonkeyPatch, file: str, asked: dict, error: type[Exception], said: str
) -> None:
    run_on(monkeypatch, replace(MACHINE, fast_int8=True))
    with pytest.raises(error, match=said):
        loading.load_backend(shipped_folder() / f"{file}.onnx", **asked)


def test_a_damaged_file_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_on(monkeypatch, replace(MACHINE, fast_int8=True))
    damaged = tmp_path / "bad.onnx"
    damaged.write_text("x")
    for kind in ("auto", "openvino"):
        with pytest.raises(ModelError, match=r"bad\.onnx is not an ONNX model that can be run"):
            loading.load_backend(damaged, backend=kind)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "gpu", "said"),
    [
        ({"backend": "openvino", "exact_halo": True}, False, "exact_halo cannot be set; use `backend=torch`"),
        (
            {"backend": "onnx", "settings": {"ensemble": 2}},
            False,
            "in which ensemble cannot be set; use `backend=torch`",
        ),
        ({"backend": "onnx", "precision": "int8", "device": "cuda"}, True, "int8 on the CPU alone; add `device=cpu`"),
        ({"backend": "onnx", "precision": "int8"}, True, "int8 on the CPU alone; add `device=cpu`"),
        ({"backend": "onnx", "model": "nsp"}, False, "runs an .onnx file that nsp exported, got nsp"),
    ],
)
def test_the_cause_is_named_where_a_shipped_model_does_not_run_in_a_backend(
    monkeypatch: pytest.MonkeyPatch, given: dict, gpu: bool, said: str
) -> None:
    run_on(monkeypatch, replace(MACHINE, gpu=gpu))
    with pytest.raises(UsageError, match=re.escape(said)):
        loading.load_backend(**{"model": "fast", **given})

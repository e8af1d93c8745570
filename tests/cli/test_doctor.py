"""`nsp doctor`: what a bug report needs."""

import json
from importlib import metadata
from pathlib import Path

import onnxruntime
import pytest
import torch

from nsp_cli import __version__, load_backend
from nsp_cli.cli.commands import doctor
from nsp_cli.errors import ModelError
from tests.cli.test_commands import run

SECTIONS = ["versions", "processor", "memory", "devices", "providers", "extras", "folders", "environment", "speed"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing a tile takes seconds."""
    monkeypatch.setattr("nsp_cli.cli.batch.estimate._SIDE", 32)


def test_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.safetensors").touch()
    monkeypatch.setenv("NSP_HOME", str(tmp_path))
    code, said = run("doctor", "--json")
    assert code == 0
    report = json.loads(said)
    assert list(report) == SECTIONS
    assert report["versions"]["nsp"] == __version__
    assert report["versions"]["torch"] == torch.__version__
    assert report["processor"]["torch_threads"] == torch.get_num_threads()
    assert 0 < report["memory"]["available_gb"] <= report["memory"]["total_gb"]
    assert report["devices"]["cpu"]["runs"] is True
    assert report["providers"]["CPUExecutionProvider"] == {"runs": True}
    assert report["extras"]["eval"]["installed"] is True
    assert report["folders"]["home"] == str(tmp_path)
    assert report["folders"]["settings"] == str(tmp_path / "config.toml")
    assert report["folders"]["settings_found"] is False
    assert report["folders"]["own_models"] == ["mine.safetensors"]
    assert report["folders"]["default_model"] == "quick"
    assert report["environment"]["NSP_HOME"] == str(tmp_path)
    assert report["speed"]["seconds_per_megapixel"] > 0
    runtimes = {"OpenVinoBackend": "OpenVINO", "OnnxBackend": "onnxruntime", "TorchBackend": "torch"}
    assert report["speed"]["runtime"] == runtimes[type(load_backend()).__name__]
    assert report["speed"]["device"].split(":")[0] in {"cpu", "cuda", "mps"}


def test_text_does_not_name_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("NSP_HOME", str(tmp_path / "nsp"))
    code, said = run("doctor")
    assert code == 0
    lines = said.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == SECTIONS
    assert any(line.split()[:2] == ["CPUExecutionProvider", "runs"] for line in lines)
    assert "~/nsp/weights" in said
    assert str(tmp_path) not in said


def test_a_provider_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider", "NoSuchProvider"])
    report = json.loads(run("doctor", "--json")[1])
    assert report["providers"]["NoSuchProvider"]["runs"] is False
    assert report["providers"]["NoSuchProvider"]["error"]
    assert report["providers"]["CPUExecutionProvider"] == {"runs": True}


def test_what_does_not_run_is_printed_as_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSP_HOME", str(tmp_path))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["NoSuchProvider"])
    lines = [line.split() for line in run("doctor")[1].splitlines()]
    (provider,) = (line for line in lines if line[0] == "NoSuchProvider")
    assert provider[1] == "fails:"
    assert "not" not in provider[:3]
    assert ["settings_found", "no"] in lines


def test_a_device_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no kernel image is available\nand more")

    monkeypatch.setattr(torch.nn.functional, "conv2d", fail)
    found = doctor._on_device("cpu")
    assert found["runs"] is False
    assert found["error"] == "RuntimeError: no kernel image is available"


def test_a_missing_extra_and_a_model_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModelError("The weights are missing.")

    monkeypatch.setattr(
        metadata, "requires", lambda _: ["torch>=2", "no-such>=1; extra == 'some'", "rich; extra == 'b'"]
    )
    monkeypatch.setattr("nsp_cli.api.load_backend", fail)
    code, said = run("doctor", "--json")
    assert code == 1
    report = json.loads(said)
    assert report["extras"] == {"some": {"installed": False, "missing": ["no-such"]}, "b": {"installed": True}}
    assert report["speed"] == {"runs": False, "error": "ModelError: The weights are missing."}

"""Weights on disk rebuild their own network; damaged ones are refused in a sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nsp_cli.errors import ModelError, OutputError
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import FORMAT, ModelSpec, PipelineSpec
from tests.conftest import TINY, tiny_network

SPEC = ModelSpec("dbsn", TINY, "nsp", {"strategy": "canonical", "canonical_strides": [2, 3]}, training={"steps": 7})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_checkpoint_rebuilds_its_network(tmp_path: Path, dtype: torch.dtype) -> None:
    network, photo = tiny_network(), torch.rand(1, 3, 16, 16)
    save_model(network, SPEC, tmp_path / "w.safetensors", dtype)
    loaded, spec = load_model(tmp_path / "w.safetensors")
    assert spec == SPEC
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    with torch.no_grad():
        assert torch.allclose(loaded(photo), network(photo), atol=1e-6 if dtype == torch.float32 else 2e-3)


def test_specs_survive_json_and_ignore_what_a_later_nsp_adds() -> None:
    spec = PipelineSpec(task="denoise", scale=1, multiple=2, halo=8, working_bytes=100)
    assert PipelineSpec.from_json(spec.to_json()) == spec
    assert PipelineSpec.from_json(spec.to_json().replace("{", '{"colour": 3, ', 1)) == spec


def test_what_is_not_ours_is_refused(tmp_path: Path, weights: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="no weights at"):
        load_model(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="not written by nsp"):
        load_model(tmp_path / "other.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors", {"nsp.model": SPEC.to_json()})
    with pytest.raises(ModelError, match="do not fit"):
        load_model(tmp_path / "bare.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "spec.safetensors", {"nsp.model": "[]"})
    with pytest.raises(ModelError, match="ModelSpec cannot be read"):
        load_model(tmp_path / "spec.safetensors")
    (tmp_path / "graph.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"needs the \.safetensors file"):
        load_model(tmp_path / "graph.onnx")
    whole = weights().read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError):
        load_model(tmp_path / "half.safetensors")


def test_a_later_format_is_refused() -> None:
    with pytest.raises(ModelError, match="update nsp"):
        ModelSpec.from_json(SPEC.to_json().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        save_model(tiny_network(), SPEC, tmp_path / "no-such-folder" / "w.safetensors")
    assert not list(tmp_path.iterdir())

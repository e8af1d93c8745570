"""What other programs need of an exported model: darktable's packages, and the ONNX files that chaiNNer reads."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nsp_cli import api
from nsp_cli.engine.export import darktable, onnx_file
from nsp_cli.engine.loading import build_pipeline
from nsp_cli.errors import ModelError, TargetExistsError, UsageError
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.registry import ModelInfo
from nsp_cli.model.spec import ModelSpec, PipelineSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.ops.noise_level import append_noise_level
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from tests.cli.test_commands import run
from tests.networks.test_twoscale import SMALL as TWO_SCALES

Weights = Callable[..., Path]


class _Stub(nn.Module):
    """A noise-conditional pipeline that is traced in no time."""

    spec = PipelineSpec(Task.DENOISE, scale=1, multiple=1, halo=8, working_bytes=8, noise_level=True)
    padding = 1

    def forward(self, planes: Tensor) -> Tensor:
        return planes[:, :3] * (1 - planes[:, 3:])


@pytest.mark.slow
def test_darktable_gets_packages_of_noise_levels_that_its_own_sdk_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darktable, "SIDE", 64)
    target, info = tmp_path / "mine.dtmodel", ModelInfo("fast", tmp_path, licence="free", photos="217 photos")
    assert list(darktable.packages(_Stub(), target)) == [tmp_path / f"mine-{n}.dtmodel" for n in ("low", "mid", "high")]
    monkeypatch.setattr(darktable, "LEVELS", {"low": 3 / 255})
    written = dict(darktable.export(_Stub(), info, target))
    assert list(tmp_path.iterdir()) == list(written) == [tmp_path / "mine-low.dtmodel"]
    with zipfile.ZipFile(tmp_path / "mine-low.dtmodel") as package:
        assert package.namelist() == ["mine-low/config.json", "mine-low/model.onnx"]
        package.extractall(tmp_path)
    graph = onnx.load(tmp_path / "mine-low" / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert (graph.ir_version <= 10, graph.opset_import[0].version <= 20) == (True, True)
    session = onnxruntime.InferenceSession(tmp_path / "mine-low" / "model.onnx")
    assert [one.shape for one in (*session.get_inputs(), *session.get_outputs())] == [[1, 3, 64, 64]] * 2
    photo = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    np.testing.assert_allclose(session.run(None, {"photo": photo})[0], photo * (1 - 3 / 255), atol=1e-6)
    config = json.loads((tmp_path / "mine-low" / "config.json").read_text())
    assert (config["id"], config["task"], config["attributes"]) == ("mine-low", "denoise", {"input_sizes": [64]})
    assert isinstance(config["version"], str)
    assert (config["model_card"]["training_data"], config["model_card"]["training_data_license"]) == (
        info.photos,
        "free",
    )
    with pytest.raises(TargetExistsError):
        next(darktable.export(_Stub(), info, target))
    sdk = pytest.importorskip("dt_ai_sdk.validate")
    assert sdk.validate_config_json(tmp_path / "mine-low" / "config.json")
    assert sdk.validate_onnx(tmp_path / "mine-low" / "model.onnx")


def test_a_model_that_enlarges_is_another_task(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darktable, "trace", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(darktable, "_disagreement", lambda *_: 0.0)
    code, said = run("export", tmp_path / "two.dtmodel", "-m", weights(), "--task", "direct", "--for", "darktable")
    assert code == 0, said
    with zipfile.ZipFile(tmp_path / "two.dtmodel") as package:
        assert package.namelist() == ["two/config.json", "two/model_x2.onnx"]
        assert json.loads(package.read("two/config.json"))["task"] == "upscale"


def test_the_coarse_chroma_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its halo is wider than the overlap of darktable's tiles."""
    traced: list[nn.Module] = []
    monkeypatch.setattr(darktable, "trace", lambda module, _: traced.append(module) or onnx.ModelProto())
    monkeypatch.setattr(darktable, "_disagreement", lambda *_: 0.0)
    stub = _Stub()
    stub.spec = PipelineSpec(Task.DENOISE, scale=1, multiple=1, halo=8, working_bytes=8)
    next(darktable.export(CoarseChroma(stub), ModelInfo("x", tmp_path), tmp_path / "a.dtmodel"))
    assert traced == [stub]


@pytest.mark.parametrize(("task", "names_it"), [("denoise", True), ("direct", False)])
def test_the_command_names_the_coarse_chroma_where_it_is_left_out(
    task: str, names_it: bool, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darktable, "trace", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(darktable, "_disagreement", lambda *_: 0.0)
    model = weights(coarse_chroma=True)
    code, said = run("export", tmp_path / "a.dtmodel", "-m", model, "--task", task, "--for", "darktable")
    assert code == 0, said
    assert ("without the coarse chroma" in " ".join(said.split())) is names_it


@pytest.mark.parametrize(("scale", "name"), [(3, None), (4, "model_x4.onnx")])
def test_the_graph_has_the_name_of_its_enlargement(
    scale: int, name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darktable, "trace", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(darktable, "_disagreement", lambda *_: 0.0)
    stub = _Stub()
    stub.spec = PipelineSpec(Task.DIRECT, scale=scale, multiple=1, halo=8, working_bytes=8)
    if name is None:
        with pytest.raises(ModelError, match="darktable enlarges by 2 or 4, and this model by 3"):
            next(darktable.export(stub, ModelInfo("x", tmp_path), tmp_path / "a.dtmodel"))
        return
    next(darktable.export(stub, ModelInfo("x", tmp_path), tmp_path / "a.dtmodel"))
    with zipfile.ZipFile(tmp_path / "a.dtmodel") as package:
        assert package.namelist() == ["a/config.json", f"a/{name}"]


def test_packages_that_differ_from_torch_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darktable, "trace", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(darktable, "_disagreement", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="is not written"):
        next(darktable.export(_Stub(), ModelInfo("x", tmp_path), tmp_path / "a.dtmodel"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", [darktable.LEVELS["low"], darktable.LEVELS["high"]])
def test_seams_of_darktable_stay_below_one_level(level: float) -> None:
    network, spec = api.load_model("fast")
    pipeline = build_pipeline(network, spec, Task.DENOISE, {}, "fast")
    rng = np.random.default_rng(0)
    camera = Camera(shot_gain=level**2, read_noise=level / 1.4)
    noisy = simulate(sample_picture(272, 96, rng), camera, rng)[0].astype(np.float32)
    photo = append_noise_level(torch.from_numpy(noisy.transpose(2, 0, 1)[None].copy()), torch.full((1,), level))
    cut = 120
    with torch.no_grad():
        tile = pipeline(photo[..., cut:, :].contiguous())[..., darktable.OVERLAP :, :]
        error = 255 * (tile - pipeline(photo)[..., cut + darktable.OVERLAP :, :]).abs().max()
    assert 0 < float(error) < 1


@pytest.mark.parametrize("ensemble", [1, 2])
def test_a_network_for_two_scales_needs_more_overlap(tmp_path: Path, ensemble: int) -> None:
    pipeline = Simulated(ensemble=ensemble).pipeline(build_network("twoscale", TWO_SCALES), Task.DENOISE)
    with pytest.raises(ModelError, match=r"overlap by 64 pixels.*model=fast"):
        next(darktable.export(pipeline, ModelInfo("x", tmp_path), tmp_path / "a.dtmodel"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_chainner_gets_a_graph_that_its_runtime_reads(exported: Path) -> None:
    graph = onnx.load(exported)
    assert graph.ir_version <= 9
    assert {o.domain: o.version for o in graph.opset_import}[""] <= 20
    assert [one.name for one in graph.graph.input] == ["photo"]
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True)
    output = [d.dim_value or d.dim_param for d in inferred.graph.output[0].type.tensor_type.shape.dim]
    assert output[:2] == [1, 3]
    assert all(output[2:])


@pytest.mark.parametrize("noise_input", [False, True])
def test_the_noise_level_is_an_input_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, noise_input: bool
) -> None:
    asked: dict[str, Any] = {}

    def fake(module: nn.Module, inputs: dict[str, Tensor], described: PipelineSpec, _: ModelSpec) -> onnx.ModelProto:
        asked.update(inputs=list(inputs), noise_level=described.noise_level, planes=described.planes)
        return onnx.ModelProto()

    monkeypatch.setattr(onnx_file, "_trace_with_specs", fake)
    onnx_file._pipeline_graph(_Stub(), ModelSpec("x", {}, "x", {}), noise_input=noise_input)
    names = ["photo", "noise_level"] if noise_input else ["photo"]
    assert asked == {"inputs": names, "noise_level": noise_input, "planes": 3 + noise_input}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["x.onnx", "--for", "darktable"], "must end in .dtmodel"),
        (["x.dtmodel"], "must end in .onnx"),
        (["x.param", "--for", "upscayl"], "Upscayl cannot run these models"),
        (["x.onnx", "--for", "chainner", "--noise-input"], "leave out one of the two"),
        (["x.dtmodel", "--for", "darktable", "--precision", "int8", "--calibrate", "."], "are in fp32"),
    ],
)
def test_what_cannot_be_exported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("export", *flags)
    assert (code, sentence in said) == (UsageError.exit_code, True)
    assert not list(tmp_path.iterdir())

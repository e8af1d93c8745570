"""ONNX is the same pipeline: the same numbers at any size, without torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nsp_cli import api
from nsp_cli.engine.backends import machine
from nsp_cli.engine.backends.base import half_size_backend
from nsp_cli.engine.backends.onnx_backend import OnnxBackend
from nsp_cli.engine.backends.openvino_backend import OpenVinoBackend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.export import onnx_file
from nsp_cli.engine.loading import build_pipeline
from nsp_cli.engine.process import process
from nsp_cli.errors import BackendError, ModelError, OutputError, UsageError
from nsp_cli.image import Frame, read
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec, PipelineSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.ops.noise_level import estimate_noise_level
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from tests.conftest import fill_zeros
from tests.networks.test_twoscale import SMALL as TWO_SCALES

Weights = Callable[..., Path]


def photo(h: int, w: int) -> Frame:
    return Frame(np.random.default_rng(0).random((h, w, 3), np.float32))


@pytest.mark.parametrize(
    # Strategies differ in the phases that denoising and shuffling go through, which this task has both.
    ("strategy", "task"),
    [
        *(("canonical", task) for task in Task if task != Task.SHUFFLE_DENOISE),
        pytest.param("canonical", Task.SHUFFLE_DENOISE, marks=pytest.mark.slow),
        pytest.param("consecutive", Task.SHUFFLE_DENOISE, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_onnx_equals_torch_at_any_size(weights: Weights, tmp_path: Path, strategy: str, task: Task) -> None:
    model, target = weights(strategy=strategy), tmp_path / "model.onnx"
    assert api.export(model, target, task) <= 1e-4
    torch_backend = api.load_backend(model, task, device="cpu", precision="fp32")
    onnx_backend = api.load_backend(target, task, device="cpu")
    assert onnx_backend.spec == torch_backend.spec
    for h, w in [(40, 60), (33, 7), (1, 1), (90, 91)]:
        for tile in (1000, 24):
            results = [process(photo(h, w), b, tile=tile).pixels for b in (torch_backend, onnx_backend)]
            assert np.abs(results[0] - results[1]).max() <= 1e-4


def test_the_file_stands_alone_and_says_what_it_is(exported: Path) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert next(o.version for o in model.opset_import if o.domain == "") >= 18
    assert sorted(p.name for p in exported.parent.iterdir()) == ["model.onnx", "tiny.safetensors"]
    metadata = {p.key: p.value for p in model.metadata_props}
    assert ModelSpec.from_json(metadata["nsp.model"]).network == "dbsn"
    assert str(Path(onnx_file.__file__).parent).encode() not in exported.read_bytes()
    height, width = (model.graph.input[0].type.tensor_type.shape.dim[i].dim_param for i in (2, 3))
    assert height
    assert width


@pytest.mark.slow
def test_other_programs_need_not_know_the_noise_level(tmp_path: Path) -> None:
    torch.manual_seed(0)
    arguments = {"widths": [8, 8], "depths": [1, 1], "noise_level": True}
    network = build_network("resunet", arguments)
    nn.init.normal_(network.last.weight, std=0.1)  # pyright: ignore
    save_model(network, ModelSpec("resunet", arguments, "simulated", {}), tmp_path / "told.safetensors")
    assert api.export(tmp_path / "told.safetensors", tmp_path / "told.onnx", noise_input=True) <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "told.onnx")
    assert [(one.name, one.shape[:2]) for one in session.get_inputs()] == [("photo", [1, 3])]
    noisy = np.random.default_rng(0).random((1, 3, 40, 61), np.float32)

    def run(**given: float) -> np.ndarray:
        told = {name: np.full(1, value, np.float32) for name, value in given.items()}
        return session.run(None, {"photo": noisy, **told})[0]

    level = float(estimate_noise_level(torch.from_numpy(noisy)))
    np.testing.assert_allclose(run(), run(noise_level=level), atol=1e-5)
    np.testing.assert_allclose(run(), run(noise_level=-1), atol=0)
    assert np.abs(run() - run(noise_level=level / 2)).max() > 1e-4
    for value in (0, 0.25, 0.5, 1):  # photos without noise, in which no block counts
        even = np.full_like(noisy, value)
        assert np.isfinite(session.run(None, {"photo": even})[0]).all(), value
    # Our own engine tells it what it has found on the whole photo, so tiles agree.
    frame = Frame(noisy[0].transpose(1, 2, 0).copy())
    by_onnx, by_torch = (
        api.load_backend(tmp_path / f"told.{kind}", device="cpu", precision="fp32") for kind in ("onnx", "safetensors")
    )
    whole, tiled = (process(frame, by_onnx, tile=side).pixels for side in (999, 16))
    np.testing.assert_allclose(tiled, whole, atol=2e-5)
    np.testing.assert_allclose(process(frame, by_torch).pixels, whole, atol=1e-4)


def test_denoising_with_onnx_imports_no_torch(exported: Path, noisy_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    script = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch' or name.startswith('nsp_cli.methods'):\n"
        "            raise ImportError('refused: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"sys.argv = ['nsp', 'denoise', '-m', {str(exported)!r},"
        f" {str(noisy_photos / '0.png')!r}, {str(out)!r}]\n"
        "from nsp_cli.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = api.denoise(read(noisy_photos / "0.png"), model=exported.with_name("tiny.safetensors")).pixels
    assert np.abs(read(out).pixels.astype(int) - expected).max() <= 2  # bf16 may differ by a level or two
    # The test can fail: the same process cannot run a torch model.
    torch_script = script.replace("model.onnx", "tiny.safetensors").replace("out.png", "other.png")
    assert subprocess.run([sys.executable, "-c", torch_script], capture_output=True, check=False).returncode != 0


def test_a_graph_that_disagrees_is_not_kept(
    weights: Weights, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "_pipeline_graph", lambda *_, **__: exported.read_bytes())
    monkeypatch.setattr(onnx_file, "TOLERANCE", 1e-12)
    with pytest.raises(ModelError, match="nothing was written"):
        api.export(weights(), tmp_path / "model.onnx")
    assert not list(tmp_path.glob("*.onnx*"))
    assert not list(tmp_path.glob(".*"))


def test_a_graph_whose_result_is_not_finite_is_not_kept(
    weights: Weights, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "_pipeline_graph", lambda *_, **__: exported.read_bytes())
    monkeypatch.setattr(OnnxBackend, "run", lambda _, tile: np.full_like(tile, np.nan))
    with pytest.raises(ModelError, match="nothing was written"):
        api.export(weights(), tmp_path / "model.onnx")
    assert not list(tmp_path.glob("*.onnx*"))


def test_an_existing_file_is_kept(weights: Weights, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        api.export(weights(), target)
    assert target.read_bytes() == b"mine"


SHIPPED = [(info.name, Task(task)) for info in registry.shipped() for task in info.graphs]


@pytest.mark.parametrize(("name", "task"), SHIPPED)
def test_a_shipped_graph_is_the_network_in_the_weights_beside_it(name: str, task: Task) -> None:
    by_torch, by_onnx, by_openvino = (
        api.load_backend(name, task, device="cpu", precision="fp32", backend=kind)
        for kind in ("torch", "onnx", "openvino")
    )
    assert [type(one).__name__ for one in (by_onnx, by_openvino)] == ["OnnxBackend", "OpenVinoBackend"]
    halves = [half_size_backend(one) for one in (by_torch, by_onnx, by_openvino)]
    assert (halves[0] is by_torch) is not by_torch.spec.coarse_input
    for own, *graphs in ((by_torch, by_onnx, by_openvino), halves):
        multiple = 2 if own.spec.coarse_input else 8
        assert all(graph.spec == replace(own.spec, side_multiple=multiple) for graph in graphs)
    for file in registry.shipped_folder().glob(f"{name}-{task}*.onnx"):
        assert "int8" in file.name or file.stat().st_size < 200_000  # without weights
    for height, width in ((1, 1), (3, 9), (50, 70)):  # what does not divide is padded as torch pads it
        frame = photo(height, width)
        results = [process(frame, backend, Blend(noise=20)).pixels for backend in (by_torch, by_onnx, by_openvino)]
        assert max(np.abs(one - results[0]).max() for one in results[1:]) <= 1e-4
    unchanged = process(frame, by_torch, Blend(strength=0)).pixels
    assert np.abs(results[0] - unchanged).max() > 1e-2  # it does something


def test_openvino_in_bf16_is_close_to_torch_in_fp32() -> None:
    if not machine.has_bf16():
        pytest.skip("this processor has no bfloat16")
    frame = photo(96, 128)
    exact, fast = (
        process(frame, api.load_backend("fast", device="cpu", precision=precision, backend=kind)).pixels
        for precision, kind in (("fp32", "torch"), ("bf16", "openvino"))
    )
    assert 0 < np.abs(exact - fast).mean() < 2e-3
    assert abs(float((exact - fast).mean())) < 2e-4  # no colour shift


def test_tiles_of_a_shipped_graph_agree_with_the_whole_photo() -> None:
    rng = np.random.default_rng(0)
    noisy = Frame(simulate(sample_picture(300, 210, rng), Camera(shot_gain=1e-2, read_noise=1e-2), rng)[0])
    backend = api.load_backend("fast", device="cpu", precision="fp32", backend="openvino")
    whole, tiled = (process(noisy, backend, tile=side).pixels for side in (999, 104))
    assert 255 * np.abs(whole - tiled).max() < 0.5


def test_openvino_says_what_it_cannot_run(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not a graph of nsp"):
        OpenVinoBackend(tmp_path / "broken.onnx")
    with pytest.raises(UsageError, match="`backend=openvino` runs models that ship"):
        api.load_backend(exported, backend="openvino")
    with pytest.raises(BackendError, match="runs on the CPU"):
        api.load_backend("fast", backend="openvino", device="cuda")
    with pytest.raises(BackendError, match="no fp16"):
        api.load_backend("fast", backend="openvino", device="cpu", precision="fp16")


@pytest.mark.slow
def test_a_graph_can_refer_to_the_tensors_of_another_file(weights: Weights, tmp_path: Path) -> None:
    model, graph = tmp_path / "small.safetensors", tmp_path / "graph.onnx"
    arguments = {"widths": [8, 8], "depths": [1, 1]}
    torch.manual_seed(0)
    network = build_network("resunet", arguments)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_model(network, ModelSpec("resunet", arguments, "simulated", {}), model, torch.float16)
    network, spec = load_model(model)
    assert onnx_file.export(build_pipeline(network, spec, Task.DENOISE, {}, ""), spec, graph, weights=model) <= 1e-4
    stored = onnx.load(graph, load_external_data=False).graph.initializer
    padded = 2  # weight and bias of the last layer, whose channels are computed in eights
    assert sum(bool(tensor.external_data) for tensor in stored) == len(network.state_dict()) - padded
    # What the graph computes with is what the other file holds.
    tile = photo(32, 32).pixels.transpose(2, 0, 1)[None]
    before = OnnxBackend(graph, "cpu").run(tile)
    with torch.no_grad():
        network.get_parameter("head.bias").add_(0.5)
    save_model(network, spec, model, torch.float16)
    assert np.abs(OnnxBackend(graph, "cpu").run(tile) - before).max() > 1e-3
    network, spec = load_model(weights())
    for settings in ({}, {"coarse_chroma": True}):
        pipeline = build_pipeline(network, spec, Task.DENOISE, settings, "")
        with pytest.raises(ModelError, match="no graph of its network alone"):
            onnx_file.export(pipeline, spec, tmp_path / "b.onnx", weights=weights())


@pytest.mark.slow
def test_a_network_for_two_scales_has_a_graph_for_each(tmp_path: Path) -> None:
    model, graph = tmp_path / "small.safetensors", tmp_path / "graph.onnx"
    network = fill_zeros(build_network("twoscale", {**TWO_SCALES, "noise_level": True}))
    save_model(network, ModelSpec("twoscale", {**TWO_SCALES, "noise_level": True}, "simulated", {}), model)
    network, spec = load_model(model)
    pipeline = build_pipeline(network, spec, Task.DENOISE, {"coarse_chroma": True}, "")
    assert onnx_file.export(pipeline, spec, graph, weights=model) <= 1e-4
    files = (graph, registry.graph_of_half_size(graph))
    stored = [tensor for file in files for tensor in onnx.load(file, load_external_data=False).graph.initializer]
    changed = 4  # weights and biases of the U-Net's last layer, and of the convolution that is one with the last layer
    assert sum(bool(tensor.external_data) for tensor in stored) == len(network.state_dict()) - changed
    by_onnx, half = (OnnxBackend(file, "cpu") for file in files)
    by_onnx.half = half
    by_torch = api.load_backend(model, device="cpu", settings={"coarse_chroma": True})
    assert by_onnx.spec == replace(by_torch.spec, side_multiple=2)
    for height, width in ((64, 48), (37, 53), (1, 5)):
        frame = photo(height, width)
        results = [process(frame, backend, Blend(noise=20)).pixels for backend in (by_torch, by_onnx)]
        np.testing.assert_allclose(results[1], results[0], atol=1e-5)


def test_a_shipped_model_has_no_graph_for_settings_of_its_own() -> None:
    with pytest.raises(UsageError, match="`backend=onnx`"):
        api.load_backend("nsp", backend="onnx")
    opened = api.load_backend("fast", settings={"ensemble": 2}, device="cpu", megapixels=0.1)
    assert type(opened).__name__ == "TorchBackend"


def test_a_small_photo_is_denoised_without_torch(noisy_photos: Path) -> None:
    script = (
        "import sys\n"
        "from nsp_cli.cli import main\n"
        "sys.argv = ['nsp', 'denoise', '--device', 'cpu', '0.png', 'o.png']\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=noisy_photos, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = api.denoise(read(noisy_photos / "0.png"), model="quick").pixels.astype(int)
    assert np.abs(read(noisy_photos / "o.png").pixels - expected).max() <= 1


def test_what_does_not_fit_is_said(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="exported for 'denoise', not for 'shuffle'"):
        api.load_backend(exported, Task.SHUFFLE)
    with pytest.raises(UsageError, match="`backend=torch`"):
        api.load_backend(exported, backend="torch")
    with pytest.raises(BackendError, match="fp32"):
        api.load_backend(exported, precision="bf16")
    with pytest.raises(ModelError, match="There is no model"):
        OnnxBackend(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x08nonsense")
    with pytest.raises(ModelError, match="not an ONNX model"):
        OnnxBackend(tmp_path / "broken.onnx")


_RUN_ENDLESSLY = """
import sys
from pathlib import Path
import numpy as np
from nsp_cli.engine.backends.onnx_backend import OnnxBackend
backend = OnnxBackend(Path(sys.argv[1]), "cpu")
print("ready", flush=True)
try:
    backend.run(np.zeros((1, 3, 16, 16), np.float32))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process can send to another")
def test_a_graph_without_end_can_be_interrupted(tmp_path: Path) -> None:
    shape, number = [1, 3, None, None], onnx.TensorProto
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Identity", ["go"], ["go_on"]),
            onnx.helper.make_node("Sin", ["x"], ["y"]),
        ],
        "body",
        [value("i", number.INT64, []), value("go", number.BOOL, []), value("x", number.FLOAT, shape)],
        [value("go_on", number.BOOL, []), value("y", number.FLOAT, shape)],
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Loop", ["most", "start", "photo"], ["result"], body=body)],
        "endless",
        [value("photo", number.FLOAT, shape)],
        [value("result", number.FLOAT, shape)],
        [
            onnx.helper.make_tensor("most", number.INT64, [], [2**63 - 1]),
            onnx.helper.make_tensor("start", number.BOOL, [], [True]),
        ],
    )
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 18)])
    onnx.helper.set_model_props(model, {"nsp.pipeline": PipelineSpec("denoise", 1, 1, 0, 100).to_json()})
    onnx.save(model, tmp_path / "endless.onnx")
    command = [sys.executable, "-c", _RUN_ENDLESSLY, str(tmp_path / "endless.onnx")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()

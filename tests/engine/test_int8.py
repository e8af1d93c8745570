"""int8: simulated rounding in torch, the graph that onnxruntime and OpenVINO run, and when it is chosen."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nsp_cli import api
from nsp_cli.engine.backends import openvino_backend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.export.calibration import quantize_by_photos
from nsp_cli.engine.export.int8 import FakeQuantizer, calibrating, quantize
from nsp_cli.engine.export.onnx_file import export_int8
from nsp_cli.engine.export.qdq import MAX_PAIR_SUM, weight_scales
from nsp_cli.engine.process import process
from nsp_cli.errors import BackendError, ModelError, NoInputError
from nsp_cli.image import Frame, from_unit, write
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.networks.unet import ResUNet
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from tests.conftest import fill_zeros
from tests.networks.test_twoscale import SMALL as TWO_SCALES

ARGUMENTS = {"widths": [8, 8], "depths": [1, 1]}
SPEC = ModelSpec("resunet", ARGUMENTS, "simulated", {})


def noisy(height: int, width: int) -> Frame:
    rng = np.random.default_rng(0)
    return Frame(simulate(sample_picture(height, width, rng), Camera(shot_gain=2e-3, read_noise=5e-3), rng)[0])


@pytest.fixture
def network() -> ResUNet:
    torch.manual_seed(0)
    made = cast(ResUNet, build_network("resunet", ARGUMENTS))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made.eval()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        pixels = from_unit(noisy(60, 44).pixels.astype(np.float32), np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        write(Frame(pixels), tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def test_rounding_passes_gradients_to_values_and_scale() -> None:
    quantizer = FakeQuantizer()
    values = torch.linspace(-1, 3, 41, requires_grad=True)
    quantizer.observing = True
    assert torch.equal(quantizer(values), values)
    quantizer.observing = False
    rounded, scale = quantizer(values), float(quantizer.scale.detach())
    assert scale == pytest.approx(4 / 255, rel=1e-2)
    error = (rounded - values).detach().abs()
    assert 0 < float(error[1:-1].max()) <= 0.51 * scale
    rounded.square().sum().backward()
    assert values.grad is not None
    assert torch.allclose(values.grad[1:-1], 2 * rounded.detach()[1:-1])
    assert quantizer.log_scale.grad is not None
    assert float(quantizer.log_scale.grad) != 0


def test_four_convolutions_stay_in_floating_point(network: ResUNet) -> None:
    names = {name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    assert names - set(quantize(network)) == {"head", "last", "up.0.0.body.0", "up.0.0.body.2"}
    with pytest.raises(ModelError, match="'resunet'"):
        quantize(build_network("dbsn", {"width": 8, "depth": 1, "scale": 2}))


def test_of_a_network_for_two_scales_the_first_and_the_last_stay_in_floating_point(tmp_path: Path) -> None:
    arguments = {**TWO_SCALES, "noise_level": True}
    network = fill_zeros(build_network("twoscale", arguments)).eval()
    names = {name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    convolutions = quantize(network)
    last_blocks = {"fine.body.1.body.0", "fine.body.1.body.2", "coarse.up.0.0.body.0"}
    assert names - set(convolutions) == {"coarse.head", "coarse.last", "fine.head", "fine.last"} | last_blocks
    photo = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), calibrating(convolutions):
        network(photo)
    spec, graph = ModelSpec("twoscale", arguments, "simulated", {}), tmp_path / "small.onnx"
    assert export_int8(network, spec, Task.DENOISE, graph, whole=False) < 0.02
    for file, count in ((graph, 2), (registry.graph_of_half_size(graph), len(convolutions) - 2)):
        weights = [tensor for tensor in onnx.load(file).graph.initializer if len(tensor.dims) == 4]
        assert [tensor.data_type for tensor in weights].count(onnx.TensorProto.INT8) == count


@pytest.mark.parametrize("layer", [nn.Tanh(), nn.AvgPool2d(3, 1, 1)])
@pytest.mark.parametrize("place", [1, 2])
def test_a_relu_becomes_part_of_the_convolution_right_before_it(network: ResUNet, layer: nn.Module, place: int) -> None:
    """Another layer before the ReLU keeps it apart; one after the ReLU has values of another range."""
    cast(nn.Sequential, cast(nn.Sequential, network.down[0])[0].body).insert(place, layer)
    tile = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = network(tile)
        convolutions = quantize(network)
        with calibrating(convolutions):
            assert torch.equal(network(tile), exact)
    first, last = convolutions["down.0.0.body.0"], convolutions["down.0.0.body.3"]
    assert (first.target is None) == (place == 1)
    assert last.source is not first.target


def _largest_pair(model: onnx.ModelProto) -> int:
    """Return the largest sum of levels of one sign of two neighbouring input channels, of all convolutions in int8."""
    tensors = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    weights = [tensor.astype(int) for tensor in tensors if tensor.ndim == 4 and tensor.dtype == np.int8]
    return max(_pairs(sign * levels).max() for levels in weights for sign in (1, -1))


def _pairs(levels: np.ndarray) -> np.ndarray:
    levels = np.pad(levels, [(0, 0), (0, levels.shape[1] % 2), (0, 0), (0, 0)])
    return np.maximum(levels, 0).reshape(len(levels), -1, 2, *levels.shape[2:]).sum(2)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_the_levels_of_two_neighbours_have_a_limit(channels: int) -> None:
    torch.manual_seed(channels)
    weight = torch.randn(5, channels, 3, 3) ** 3
    levels = np.rint((weight / weight_scales(weight)).numpy())
    assert np.abs(levels).max() <= 127
    assert 127 <= max(_pairs(levels).max(), _pairs(-levels).max()) <= MAX_PAIR_SUM + 1


@pytest.mark.slow
def test_an_export_in_int8_gives_what_torch_simulates(network: ResUNet, photos: Path, tmp_path: Path) -> None:
    model, target = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    save_model(network, SPEC, model)
    with pytest.raises(NoInputError, match="no photos"):
        api.export_int8(model, target, photos=tmp_path / "none")
    assert not target.exists()
    change = api.export_int8(model, target, photos=photos)
    rounded, again = quantize_by_photos(network, photos)
    assert 0 < change == again < 0.02
    assert _largest_pair(onnx.load(target)) <= MAX_PAIR_SUM + 1
    weights = [tensor for tensor in onnx.load(target).graph.initializer if len(tensor.dims) == 4]
    assert [tensor.data_type for tensor in weights].count(onnx.TensorProto.INT8) == len(quantize(network))
    tile = noisy(32, 40).pixels.transpose(2, 0, 1)[None]
    with torch.no_grad():
        simulated, exact = (one(torch.from_numpy(tile)).numpy() for one in (rounded, load_model(model)[0]))
    backend = api.load_backend(target, precision="int8", backend="onnx")
    assert np.abs(backend.run(tile) - simulated).mean() < 0.3 * np.abs(exact - simulated).mean()
    assert process(noisy(33, 21), backend).size == (33, 21)
    with pytest.raises(BackendError, match="runs in int8"):
        api.load_backend(target, precision="fp32")


@pytest.mark.slow
@pytest.mark.parametrize("noise_input", [True, False])
def test_a_file_in_int8_runs_in_openvino(
    network: ResUNet, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise_input: bool
) -> None:
    monkeypatch.setattr(openvino_backend, "has_bf16", lambda: False)
    torch.manual_seed(0)
    arguments = {**ARGUMENTS, "noise_level": True}
    conditional = build_network("resunet", arguments)
    for parameter in conditional.parameters():
        nn.init.normal_(parameter, std=0.1)
    model, target = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    save_model(conditional, replace(SPEC, network_args=arguments), model)
    api.export_int8(model, target, photos=photos, noise_input=noise_input)
    by_openvino, by_onnx = (api.load_backend(target, device="cpu", backend=kind) for kind in ("openvino", "onnx"))
    assert [type(one).__name__ for one in (by_openvino, by_onnx)] == ["OpenVinoBackend", "OnnxBackend"]
    assert by_openvino.spec == by_onnx.spec
    photo = noisy(61, 47)
    for level in (2, 40):  # of 255
        one, other = (255 * process(photo, each, Blend(noise=level)).pixels for each in (by_openvino, by_onnx))
        assert np.abs(one - other).mean() < 0.01 * one.std()
    alone = photo.pixels.transpose(2, 0, 1)[None].astype(np.float32)  # the graph measures the noise level
    assert np.abs(by_openvino.run(alone) - by_onnx.run(alone)).mean() < 0.01 * by_onnx.run(alone).std()
    changed = 255 * process(photo, by_openvino, Blend(noise=2)).pixels - one
    assert (np.abs(changed).mean() > 1) == noise_input


def test_calibration_measures_the_noise_level_that_a_network_needs(photos: Path) -> None:
    torch.manual_seed(0)
    network = build_network("resunet", {**ARGUMENTS, "noise_level": True})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    rounded, change = quantize_by_photos(network, photos)
    assert 0 < change < 0.02
    assert not any(hasattr(layer, "source") for layer in network.modules())  # the network itself stays
    assert rounded(torch.rand(1, 4, 16, 16)).shape == (1, 3, 16, 16)


def test_a_photo_that_is_too_small_does_not_end_a_calibration(network: ResUNet, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "with-thumbnail"))
    write(Frame(np.full((1, 40, 3), 90, np.uint8)), folder / "thumbnail.png")
    with pytest.warns(UserWarning, match=r"too small to calibrate with are left out: .*thumbnail\.png\."):
        change = quantize_by_photos(network, folder)[1]
    assert change == pytest.approx(quantize_by_photos(network, photos)[1])
    alone = tmp_path / "alone"
    alone.mkdir()
    write(Frame(np.full((1, 40, 3), 90, np.uint8)), alone / "thumbnail.png")
    with pytest.raises(NoInputError, match="are too small to calibrate with"):
        quantize_by_photos(network, alone)


def test_ranges_are_observed_on_the_device_of_the_values() -> None:
    """Where tensors are made without a device, as on a GPU, they are on another one."""
    quantizer = FakeQuantizer()
    quantizer.observing = True
    values = torch.linspace(-1, 3, 1001)
    with torch.device("meta"):
        quantizer(values)
    assert float(quantizer.high) == pytest.approx(3, abs=0.01)


def test_calibration_takes_the_range_of_all_batches(network: ResUNet) -> None:
    convolutions = quantize(network)
    tile = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), calibrating(convolutions):
        network(tile)
        narrow = float(convolutions["down.0.0.body.0"].source.scale)
        network(4 * tile)
    assert float(convolutions["down.0.0.body.0"].source.scale) > 2 * narrow


def test_no_model_without_a_graph_in_int8_runs_in_it() -> None:
    with pytest.raises(BackendError, match="int8 needs a model that ships with a graph"):
        api.load_backend("nsp", precision="int8", device="cpu")
    with pytest.raises(BackendError, match="int8 needs"):
        api.load_backend("fast", precision="int8", device="cpu", backend="torch")


IN_INT8 = [
    pytest.param(info.name, Task(task), marks=pytest.mark.slow if info.name == "best" else ())  # 16 runs
    for info in registry.shipped()
    for task in info.int8
]


@pytest.mark.parametrize(("name", "task"), IN_INT8)
@pytest.mark.parametrize(("bf16", "apart"), [(False, 0.15), (True, 0.25)])
def test_a_shipped_graph_in_int8_is_close_to_float32(
    monkeypatch: pytest.MonkeyPatch, name: str, task: Task, bf16: bool, apart: float
) -> None:
    if bf16 and not openvino_backend.has_bf16():
        pytest.skip("bfloat16 is for processors that multiply it")
    monkeypatch.setattr(openvino_backend, "has_bf16", lambda: bf16)
    graph = registry.shipped_folder() / f"{name}-{task}-int8.onnx"
    for file in (graph, registry.graph_of_half_size(graph)):
        if file == graph or file.exists():
            assert file.stat().st_size < (1.6e6 if name == "best" else 1.5e6)
            assert _largest_pair(onnx.load(file)) <= MAX_PAIR_SUM + 1
    exact, by_openvino, by_onnx = (
        api.load_backend(name, task, device="cpu", precision=precision, backend=kind)
        for precision, kind in (("fp32", "openvino"), ("int8", "openvino"), ("int8", "onnx"))
    )
    assert by_openvino.spec == by_onnx.spec
    assert by_onnx.spec.int8
    frame = noisy(200, 136)
    expected, *results = (255 * process(frame, backend).pixels for backend in (exact, by_openvino, by_onnx))
    for result in results:
        assert 0 < np.sqrt(np.square(result - expected).mean()) < 0.6
        assert np.abs((result - expected).mean((0, 1))).max() < 0.1  # colours stay
    # Of two networks, one after the other, the second one rounds what the first one has rounded differently.
    assert np.abs(results[0] - results[1]).mean() < apart + (0.05 if name == "quick" else 0)
    tiled = 255 * process(frame, by_openvino, tile=104).pixels
    # What the halo leaves out is far less than a level of 255, but may round an activation to its next level.
    assert np.abs(tiled - results[0]).max() < 1
    assert np.abs(tiled - results[0]).mean() < 0.05

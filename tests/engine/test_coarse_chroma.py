"""Coarse chroma in the engine: the result of the module that exports have, in tiles of the network's own halo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nsp_cli import api
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image import Frame
from nsp_cli.image.luma import luma
from nsp_cli.methods.base import Pipeline, PlainPipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma, without_coarse_chroma
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.spec import PipelineSpec, Precision, Task
from tests.conftest import tiny_network
from tests.methods.test_coarse_chroma import Blur

Array = NDArray[np.float32]
SPEC = PipelineSpec(task="denoise", scale=1, multiple=2, halo=4, working_bytes=100, coarse_chroma=True)


@dataclass
class Recorder:
    """A backend that returns what `function` makes of its input, and remembers that."""

    function: Callable[[Array], Array]
    spec: PipelineSpec = SPEC
    tiles: list[Array] = field(default_factory=list)

    def run(self, tile: Array) -> Array:
        self.tiles.append(tile)
        return self.function(tile)

    def free_bytes(self) -> int:
        return 10**9


def photo(height: int, width: int) -> Frame:
    return Frame(np.random.default_rng(0).random((height, width, 3), np.float32))


def halved(values: Array) -> Array:
    return np.float32(0.5) * values


def blurring() -> CoarseChroma:
    return CoarseChroma(PlainPipeline(Blur(), Task.DENOISE, 3))


def in_torch(module: Pipeline) -> TorchBackend:
    inner = without_coarse_chroma(module)
    assert isinstance(inner, nn.Module)
    return TorchBackend(inner, torch.device("cpu"), Precision.FP32)


class BlurWithLevel(Blur):
    """A network that has the noise level as an input, and ignores it."""

    noise_level = True

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :3])


@pytest.mark.parametrize("network", [Blur(), BlurWithLevel()])
def test_the_result_is_that_of_the_module_for_exports(network: Blur) -> None:
    module = CoarseChroma(PlainPipeline(network, Task.DENOISE, 3))
    frame, blend = Frame(0.5 + np.float32(0.05) * photo(64, 48).pixels), Blend(noise=20)
    tile = torch.full((1, module.spec.planes, 64, 48), 20 / 255)
    tile[:, :3] = torch.from_numpy(frame.pixels).permute(2, 0, 1)
    with torch.no_grad():
        expected = module(tile)[0].permute(1, 2, 0)
    backend = in_torch(module)
    assert backend.spec.coarse_chroma
    assert not module.spec.coarse_chroma  # it is in the module already
    result = process(frame, backend, blend).pixels
    np.testing.assert_allclose(result, expected, atol=1e-6)
    plain = process(frame, in_torch(module.pipeline), blend).pixels
    assert np.abs(result - plain).max() > 0.005
    np.testing.assert_allclose(luma(result.astype(np.float32)), luma(plain.astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize(("height", "width", "tile"), [(75, 61, 16), (33, 90, 32), (5, 3, 8), (1, 40, 8), (64, 64, 18)])
def test_tiled_equals_whole(height: int, width: int, tile: int) -> None:
    frame = photo(height, width)
    wide = CoarseChroma(PlainPipeline(Blur(8), Task.DENOISE, 3))  # its halo has no pixel to spare
    for module in (wide, NSP(strategy="canonical", coarse_chroma=True).pipeline(tiny_network(2), Task.DENOISE)):
        backend = in_torch(module)
        whole, tiled = (process(frame, backend, tile=side).pixels for side in (200, tile))
        np.testing.assert_allclose(tiled, whole, atol=2e-6)


def test_tiles_that_are_faded_have_it_too() -> None:
    spec = replace(SPEC, tile=32, halo=8)
    frame = photo(80, 70)
    faded, plain = (process(frame, Recorder(halved, one)).pixels for one in (spec, replace(spec, coarse_chroma=False)))
    np.testing.assert_allclose(faded, plain, atol=1e-6)  # halving values commutes with averaging pixels
    squared = process(frame, Recorder(np.square, spec)).pixels
    assert np.abs(squared - frame.pixels**2).max() > 0.005


def test_the_photo_at_half_its_size_comes_first_with_a_lower_noise_level() -> None:
    backend = Recorder(lambda tile: tile[:, :3], replace(SPEC, noise_level=True))
    frame = photo(41, 30)
    result = process(frame, backend, Blend(noise=20)).pixels
    half, whole = backend.tiles
    assert half.shape == (1, 4, 21, 15)
    even = np.concatenate([frame.pixels, frame.pixels[-2:-1]])
    expected = even.reshape(21, 2, 15, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(half[0, :3], expected, atol=1e-6)
    assert np.unique(half[0, 3]) == pytest.approx(15 / 255)
    assert np.unique(whole[0, 3]) == pytest.approx(20 / 255)
    np.testing.assert_allclose(result, frame.pixels, atol=1e-6)  # a network that changes nothing changes nothing


@pytest.mark.parametrize(
    ("frame", "blend"),
    [
        (photo(40, 40), Blend(chroma=0)),
        (Frame(photo(40, 40).pixels[..., :1].copy()), Blend()),
    ],
)
def test_nothing_is_computed_twice_where_chroma_does_not_change(frame: Frame, blend: Blend) -> None:
    backend = Recorder(halved)
    process(frame, backend, blend)
    assert [tile.shape for tile in backend.tiles] == [(1, 3, 40, 40)]


def test_values_below_black_are_averaged_as_they_are() -> None:
    backend = Recorder(lambda tile: tile)
    pixels = np.zeros((8, 8, 3), np.float32)
    process(Frame(pixels, below_black=np.full_like(pixels, 0.25)), backend)
    assert np.unique(backend.tiles[0]) == -0.25


def test_progress_rises_to_one() -> None:
    fractions: list[float] = []
    process(photo(70, 70), Recorder(lambda tile: tile), tile=32, report=fractions.append)
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.2
    assert fractions[-1] == 1


def test_it_is_a_setting_in_every_runtime() -> None:
    frame = Frame((255 * photo(96, 96).pixels).astype(np.uint8))
    for kind in ("torch", "onnx", "openvino"):
        without, plain, coarse = (
            api.load_backend("fast", device="cpu", precision="fp32", backend=kind, settings=settings)
            for settings in ({"coarse_chroma": False}, {}, {"coarse_chroma": True})
        )
        assert without.spec == plain.spec
        assert coarse.spec == plain.spec.with_coarse_chroma()
        assert type(coarse).__name__.lower().startswith(kind)
        assert np.abs(process(frame, plain).pixels.astype(int) - process(frame, coarse).pixels).max() > 0


def test_what_cannot_have_it_is_refused() -> None:
    with pytest.raises(UsageError, match="goes with denoising alone"):
        api.load_backend(None, Task.DIRECT, settings={"coarse_chroma": True})
    with pytest.raises(UsageError, match="must be true or false"):
        api.load_backend("fast", settings={"coarse_chroma": 1})

"""Two networks one after the other, the second with the result of the first for the photo at half its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nsp_cli.engine.backends.base import half_size_backend, release
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.image import Frame
from nsp_cli.methods.base import Pipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.methods.scales import split_scales
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.spec import Precision, Task
from nsp_cli.networks import build_network
from tests.conftest import fill_zeros
from tests.engine.test_coarse_chroma import Array, Recorder, photo
from tests.networks.test_twoscale import SMALL

CPU = torch.device("cpu")


def pipeline() -> Pipeline:
    network = fill_zeros(build_network("twoscale", {**SMALL, "noise_level": True}))
    return Simulated().pipeline(network, Task.DENOISE)


def in_parts(whole: Pipeline) -> TorchBackend:
    fine, half = (TorchBackend(part, CPU, Precision.FP32) for part in split_scales(whole))  # pyright: ignore
    fine.half = half
    return fine


@pytest.mark.parametrize(
    ("size", "coarse_chroma"), [((64, 96), False), ((63, 95), False), ((64, 96), True)]
)  # all are padded to the first one
def test_the_result_is_that_of_one_module(size: tuple[int, int], coarse_chroma: bool) -> None:
    whole = pipeline()
    frame, blend = photo(*size), Blend(noise=20)
    module = CoarseChroma(whole) if coarse_chroma else whole
    one = process(frame, TorchBackend(module, CPU, Precision.FP32), blend).pixels  # pyright: ignore[reportArgumentType]
    backend = in_parts(whole)
    backend.spec = backend.spec.with_coarse_chroma(coarse_chroma)
    parts = process(frame, backend, blend).pixels
    np.testing.assert_allclose(parts, one, atol=1e-6)
    assert np.abs(one - frame.pixels).max() > 0.005


@pytest.mark.parametrize(("height", "width", "tile"), [(75, 61, 16), (33, 90, 32), (5, 3, 8), (1, 40, 8), (64, 64, 18)])
@pytest.mark.parametrize("coarse_chroma", [False, True])
def test_tiled_equals_whole(height: int, width: int, tile: int, coarse_chroma: bool) -> None:
    backend = in_parts(pipeline())
    backend.spec = backend.spec.with_coarse_chroma(coarse_chroma)
    frame = photo(height, width)
    whole, tiled = (process(frame, backend, Blend(noise=20), tile=side).pixels for side in (200, tile))
    np.testing.assert_allclose(tiled, whole, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_coarse_result_is_an_input_of_the_fine_network(dtype: type, channels: int) -> None:
    def coarse_plus_one_tenth(tile: Array) -> Array:
        return tile[:, :3] + np.float32(0.1)

    def last_planes(tile: Array) -> Array:
        return tile[:, -3:]

    values = 0.8 * photo(41, 30).pixels[..., :channels]
    scale = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = values if dtype == np.float32 else np.rint(values * scale).astype(dtype)
    fine_spec, half_spec = (part.spec for part in split_scales(pipeline()) if part is not None)
    fine, half = Recorder(last_planes, fine_spec), Recorder(coarse_plus_one_tenth, half_spec)
    fine.half = half  # pyright: ignore[reportAttributeAccessIssue]
    result = process(Frame(pixels), fine, Blend(noise=20)).pixels
    assert [tile.shape for tile in (*half.tiles, *fine.tiles)] == [(1, 4, 21, 15), (1, 7, 41, 30)]
    assert np.unique(half.tiles[0][0, 3]) == pytest.approx(15 / 255)
    even = np.concatenate([pixels, pixels[-2:-1]]) / scale
    expected = even.reshape(21, 2, 15, 2, channels).mean((1, 3)).repeat(2, 0).repeat(2, 1)[:41] + 0.1
    np.testing.assert_allclose(result / scale, expected, atol=0.51 / scale if scale > 1 else 1e-6)


def test_the_memory_of_the_first_network_is_freed_for_the_second() -> None:
    freed: list[int] = []
    fine_spec, half_spec = (part.spec for part in split_scales(pipeline()) if part is not None)
    fine, half = Recorder(lambda tile: tile[:, :3], fine_spec), Recorder(lambda tile: tile[:, :3], half_spec)
    fine.half = half  # pyright: ignore[reportAttributeAccessIssue]
    half.release = lambda: freed.append(len(fine.tiles))  # pyright: ignore[reportAttributeAccessIssue]
    assert half_size_backend(fine) is half
    assert half_size_backend(half) is half
    process(photo(40, 40), fine, Blend(noise=20))
    assert freed == [0]
    release(fine)  # has nothing to free
    assert len(fine.tiles) == 1


def test_progress_rises_to_one() -> None:
    fractions: list[float] = []
    process(photo(70, 70), in_parts(pipeline()), Blend(noise=20), tile=32, report=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

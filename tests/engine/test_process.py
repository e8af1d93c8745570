"""The engine, with backends that are plain functions, and with the real pipeline in tiles."""

import tracemalloc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Semaphore

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.conversion import Converter, Tile
from nsp_cli.engine.process import process
from nsp_cli.engine.tiling import Region
from nsp_cli.errors import InputError, MemoryLimitError, OutputError, UsageError
from nsp_cli.image import Frame, Metadata
from nsp_cli.methods.nsp import NSP
from nsp_cli.model.spec import PipelineSpec, Task
from nsp_cli.noise.estimate import estimate
from tests.conftest import tiny_network

Array = NDArray[np.float32]
SPEC = PipelineSpec(task="denoise", scale=1, multiple=2, halo=4, working_bytes=100)


@dataclass
class Fake:
    """A backend that is a function; it remembers the sizes that it was given, and has room for `limit` pixels."""

    function: Callable[[Array], Array] = lambda tile: tile
    spec: PipelineSpec = SPEC
    limit: int = 10**9
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def run(self, tile: Array) -> Array:
        self.sizes.append(tile.shape[2:])
        if tile.shape[2] * tile.shape[3] > self.limit:
            raise MemoryLimitError("full")
        return self.function(tile)

    def free_bytes(self) -> int:
        return 10**9


def photo(h: int, w: int, channels: int = 3, dtype: type = np.uint8) -> Frame:
    values = np.random.default_rng(0).random((h, w, channels))
    if dtype is np.float32:
        return Frame(values.astype(np.float32))
    return Frame((values * np.iinfo(dtype).max).round().astype(dtype))


@pytest.mark.parametrize("strategy", ["consecutive", "canonical"])
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(("h", "w", "tile"), [(75, 61, 16), (33, 90, 32), (5, 3, 8), (1, 40, 8), (64, 64, 18)])
def test_tiled_equals_whole(strategy: str, task: Task, h: int, w: int, tile: int) -> None:
    backend = TorchBackend(NSP(strategy=strategy).pipeline(tiny_network(depth=2), task), torch.device("cpu"), "fp32")
    frame = photo(h, w, dtype=np.float32)
    whole = process(frame, backend, tile=1000)
    tiled = process(frame, backend, tile=tile)
    scale = backend.spec.scale
    assert whole.size == tiled.size == (h * scale, w * scale)
    assert np.abs(whole.pixels - tiled.pixels).max() <= 1e-5
    with torch.no_grad():
        direct = backend.pipeline(torch.from_numpy(frame.pixels).permute(2, 0, 1)[None])
    assert np.abs(direct[0].permute(1, 2, 0).numpy() - tiled.pixels).max() <= 1e-5


@pytest.mark.parametrize("t", [1, 3, 4])
def test_tiled_equals_whole_for_every_scale(t: int) -> None:
    for task in Task:
        method = NSP(scale=t, stride=5, strategy="consecutive")
        backend = TorchBackend(method.pipeline(tiny_network(scale=t), task), torch.device("cpu"), "fp32")
        frame = photo(49, 55, dtype=np.float32)
        whole, tiled = (process(frame, backend, tile=side).pixels for side in (1000, 7 * t))
        assert np.abs(whole - tiled).max() <= 1e-5


def test_a_halo_too_small_would_be_seen() -> None:
    """The test above can fail: with half the halo the tiles differ."""
    pipeline = NSP(strategy="consecutive").pipeline(tiny_network(depth=4), Task.DENOISE)
    backend = TorchBackend(pipeline, torch.device("cpu"), "fp32")
    backend.spec = SPEC
    frame = photo(90, 90, dtype=np.float32)
    whole, tiled = (process(frame, backend, tile=side).pixels for side in (1000, 32))
    assert np.abs(whole - tiled).max() > 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_depth_and_channels_stay(dtype: type, channels: int) -> None:
    frame = photo(20, 30, channels, dtype)
    result = process(frame, Fake(), tile=8)
    assert result.pixels.dtype == dtype
    assert np.allclose(result.pixels, frame.pixels, atol=1e-6)


def test_strength_blends_and_zero_is_the_identity() -> None:
    frame, black = photo(20, 30), Fake(np.zeros_like)
    assert process(frame, black, Blend(0)).pixels is frame.pixels
    assert (process(frame, black).pixels == 0).all()
    half = process(frame, black, Blend(50)).pixels
    assert np.abs(half - frame.pixels / 2).max() <= 0.5
    assert black.sizes
    nothing = Fake()
    process(frame, nothing, Blend(0))
    assert not nothing.sizes


def test_strength_zero_of_an_enlargement_is_bicubic() -> None:
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=8, working_bytes=100)
    backend = Fake(lambda tile: np.zeros((1, 3, 2 * tile.shape[2], 2 * tile.shape[3]), np.float32), spec)
    frame = photo(24, 30)
    import cv2

    expected = cv2.resize(frame.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    whole, tiled = (process(frame, backend, Blend(0), tile=side).pixels for side in (0, 8))
    assert np.abs(whole.astype(int) - expected).max() <= 1
    assert np.array_equal(whole, tiled)
    assert not backend.sizes  # the network does not run


def test_a_tile_that_is_nearly_all_halo_is_enlarged() -> None:
    backend = Fake(spec=replace(SPEC, halo=32))
    result = process(photo(60, 60), backend, tile=1)
    assert len(backend.sizes) == 16
    assert result.warnings == ("A tile of 1 pixels would be nearly all halo; tiles of 16 pixels are used.",)
    assert not process(photo(60, 60), backend, tile=16).warnings


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [0, 16])
def test_an_even_area_stays_even_when_enlarged(channels: int, tile: int) -> None:
    """Of a model that draws a grid; everywhere else the grid is its own."""
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=8, working_bytes=100)

    def grid(tile: NDArray) -> NDArray:
        large = tile.repeat(2, 2).repeat(2, 3)
        large[:, :, ::2, ::2] += 5 / 255
        return large

    pixels = np.full((40, 60, channels), 120, np.uint8)
    pixels[:, 40:] = np.random.default_rng(0).integers(60, 200, (40, 20, channels))
    result = process(Frame(pixels), Fake(grid, spec), tile=tile).pixels
    assert (result[:, : 2 * 36] == 120).all()
    noisy = pixels[:, 41:].repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(result[:, 82:][1::2, 1::2], noisy[1::2, 1::2], atol=1)
    np.testing.assert_allclose(result[:, 82:][::2, ::2], noisy[::2, ::2] + 5, atol=1)


def test_float_highlights_above_white_survive() -> None:
    pixels = np.full((16, 16, 3), 0.5, np.float32)
    pixels[4, 4] = 3.0
    result = process(Frame(pixels), Fake(lambda tile: tile * 0.5)).pixels
    assert np.allclose(result[4, 4], 2.5)
    assert np.allclose(result[0, 0], 0.25)


def test_everything_else_of_the_photo_stays() -> None:
    frame = Frame(
        photo(10, 12).pixels, alpha=np.full((10, 12), 7, np.uint8), metadata=Metadata(icc=b"profile", dpi=(300, 300))
    )
    result = process(frame, Fake())
    assert result.alpha is frame.alpha
    assert result.metadata == frame.metadata
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=4, working_bytes=100)
    large = process(frame, Fake(lambda tile: tile.repeat(2, 2).repeat(2, 3), spec))
    assert large.alpha is not None
    assert large.alpha.shape == (20, 24)
    assert (large.alpha == 7).all()


def test_out_of_memory_halves_the_tile_and_goes_on() -> None:
    frame, backend = photo(300, 280), Fake(limit=90 * 90)
    result = process(frame, backend, tile=256)
    assert np.array_equal(result.pixels, frame.pixels)
    assert backend.sizes[0] == (260, 260)
    assert max(h * w for h, w in backend.sizes[-3:]) <= 90 * 90
    assert sum(h * w > 90 * 90 for h, w in backend.sizes) == 2  # 256 and 128 failed, once each


def test_out_of_memory_no_large_tile_is_converted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: list[int] = []
    prepare = Converter.prepare

    def watched(self: Converter, tile: Region) -> Tile:
        sides.append(tile.longest)
        return prepare(self, tile)

    monkeypatch.setattr(Converter, "prepare", watched)
    frame = photo(300, 280)
    assert np.array_equal(process(frame, Fake(limit=140 * 140), tile=256).pixels, frame.pixels)
    assert sum(side > 128 for side in sides) == 2  # the tile that failed, and the one that was converted beside it


def test_no_memory_at_all_is_an_error_and_not_a_loop() -> None:
    with pytest.raises(MemoryLimitError, match="smallest tile"):
        process(photo(300, 280), Fake(limit=10))


GLOBAL = replace(SPEC, tile=16)


@pytest.mark.parametrize(("h", "w"), [(50, 43), (16, 17), (5, 3), (64, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_faded_tiles_of_a_pipeline_that_changes_nothing_are_the_photo(h: int, w: int, dtype: type) -> None:
    frame = photo(h, w, dtype=dtype)
    assert np.abs(process(frame, Fake(spec=GLOBAL)).pixels - frame.pixels.astype(np.float64)).max() < 1e-6


def test_faded_tiles_are_enlarged_each_in_its_place() -> None:
    frame = photo(50, 43, dtype=np.float32)
    backend = Fake(lambda tile: tile.repeat(2, 2).repeat(2, 3), replace(GLOBAL, scale=2))
    expected = frame.pixels.repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(process(frame, backend).pixels, expected, atol=1e-6)


def test_what_tiles_disagree_about_leaves_no_seam() -> None:
    """A backend that answers with its tile's mean: neighbours would differ by a jump."""
    frame = Frame(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None].repeat(48, 0).repeat(3, 2))
    mean = Fake(lambda tile: np.full_like(tile, tile.mean()), GLOBAL)
    faded = process(frame, mean).pixels
    hard = process(frame, replace(mean, spec=SPEC), tile=16).pixels
    assert np.abs(np.diff(hard, axis=1)).max() > 0.2
    assert np.abs(np.diff(faded, axis=1)).max() < 0.07  # a quarter of the jump, over the four pixels of the overlap
    assert np.abs(np.diff(faded, axis=0)).max() < 1e-6


def test_a_prescribed_tile_stays_what_it_is() -> None:
    backend = Fake(spec=GLOBAL)
    process(photo(40, 40), backend)
    assert set(backend.sizes) == {
        (20, 20),
        (20, 24),
        (24, 20),
        (24, 24),
        (20, 12),
        (12, 20),
        (24, 12),
        (12, 24),
        (12, 12),
    }
    with pytest.raises(MemoryLimitError):
        process(photo(40, 40), Fake(spec=GLOBAL, limit=100))


@pytest.mark.parametrize("spec", [SPEC, GLOBAL])
def test_progress_reaches_one(spec: PipelineSpec) -> None:
    shares: list[float] = []
    process(photo(50, 40), Fake(spec=spec), tile=16, report=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def grainy(h: int, w: int, channels: int = 3, sigma: float = 12) -> Frame:
    grey = 128 + sigma * np.random.default_rng(0).standard_normal((h, w, channels))
    return Frame(np.rint(grey).clip(0, 255).astype(np.uint8))


def levels(frame: Frame, **given: float) -> set[float]:
    """What a network is told of a photo in all its tiles, in 8-bit units."""
    heard: set[float] = set()

    def listen(tile: Array) -> Array:
        assert tile.shape[1] == 4
        heard.update(255 * float(level) for level in np.unique(tile[:, 3:]))
        return tile[:, :3]

    result = process(frame, Fake(listen, replace(SPEC, noise_level=True)), Blend(**given), tile=16)
    np.testing.assert_array_equal(result.pixels, frame.pixels)
    return heard


def test_a_network_that_wants_it_is_told_the_noise_of_the_whole_photo() -> None:
    """In every tile the same, whatever is in it; and what the caller knows is not measured."""
    grey = grainy(96, 80, channels=1)
    framed = grey.pixels.copy()
    framed[:20] = framed[:, :20] = 200  # no camera made that
    for frame, accuracy in ((grey, 0.1), (replace(grey, pixels=framed), 0.15), (grainy(5, 300, channels=1), 0.3)):
        (level,) = levels(frame)
        assert level == pytest.approx(12, rel=accuracy)
    (of_colour,) = levels(grainy(96, 80))
    assert of_colour == pytest.approx(estimate(grainy(96, 80).pixels).luma, rel=1e-4)
    (known,) = levels(grey, noise=5.1)
    assert known == pytest.approx(5.1)
    with pytest.raises(UsageError, match="`noise` must be from 0 to 255"):
        Blend(noise=-1)


def test_a_negative_tile_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        process(photo(8, 8), Fake(), tile=-4)


@pytest.mark.slow
def test_a_hundred_megapixels_stay_under_three_times_their_float32_size() -> None:
    """NumPy's allocations around the network; `benchmarks/memory.py` measures the whole process."""
    frame = Frame(np.full((10_000, 10_000, 3), 100, np.uint8))
    tracemalloc.start()
    process(frame, Fake(), Blend(50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + frame.pixels.nbytes < 3 * 4 * 300e6 / 2  # half of what is allowed, the network may have the rest


def test_the_next_tile_is_converted_while_the_backend_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, needed = Semaphore(0), deque([2, 1, 1, 0])  # tiles that must be converted before each of four ends
    prepare = Converter.prepare

    def watched(self: Converter, tile: Region) -> Tile:
        converted = prepare(self, tile)
        prepared.release()
        return converted

    def run(tile: Array) -> Array:
        assert all(prepared.acquire(timeout=1) for _ in range(needed.popleft()))
        return tile

    monkeypatch.setattr(Converter, "prepare", watched)
    frame = photo(64, 64)
    assert np.array_equal(process(frame, Fake(run), tile=32).pixels, frame.pixels)
    assert not needed


@pytest.mark.parametrize("bad", [0, 1, 3])
def test_an_error_of_any_tile_ends_the_work(bad: int) -> None:
    backend = Fake()

    def run(tile: Array) -> Array:
        return np.full_like(tile, np.nan) if len(backend.sizes) == bad + 1 else tile

    backend.function = run
    with pytest.raises(OutputError, match="not finite"):
        process(photo(64, 64), backend, tile=32)


def test_what_is_not_finite_in_a_photo_is_not_blamed_on_the_model() -> None:
    frame = photo(20, 30, dtype=np.float32)
    frame.pixels[3, 4] = np.nan
    with pytest.raises(InputError, match="The photo has values that are NaN"):
        process(frame, Fake())
    with pytest.raises(OutputError, match="its weights are damaged"):
        process(photo(20, 30), Fake(lambda tile: tile * np.float32(np.nan)))

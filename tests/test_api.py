"""The Python API takes what its docstrings name, and refuses everything else with an `NspError`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nsp_cli
import nsp_cli.api
from nsp_cli.engine.export.api import model_to_export
from nsp_cli.errors import InputError, ModelError, NspError, OutputError, UsageError
from nsp_cli.image import Frame, read
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import read_spec
from nsp_cli.model.spec import Task

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.conftest import save_tiny

    path = save_tiny(tmp_path_factory.mktemp("api") / "tiny.safetensors")
    return nsp_cli.load_backend(path, device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (PIXELS[..., 0], r"give photo\[\.\.\., None\]"),
        (np.dstack([PIXELS, PIXELS[..., :1]]), r"give photo\[\.\.\., :3\]"),
        (PIXELS[None], "must be"),
        (PIXELS[:0], "not empty"),
        (PIXELS / 255, "got float64; use astype"),
        (PIXELS.astype(np.int64), "got int64"),
        (PIXELS.astype(object), "got object"),
        (PIXELS.astype(np.float32), "from 0 .black. to 1 .white.*divide it"),
        (np.full((4, 4, 3), np.nan, np.float32), "has values that are NaN or infinite; replace them[.]"),
        (np.full((4, 4, 3), -np.inf, np.float32), "has values that are NaN or infinite; replace them[.]"),
        (Image.new("P", (8, 8)), r"give convert\('RGB'\)"),
        (Image.new("CMYK", (8, 8)), "got CMYK"),
        ([[1, 2], [3, 4]], "got list"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
    ],
)
def test_what_is_no_photo_is_refused(photo: Any, said: str, model: Any) -> None:
    for call in (nsp_cli.denoise, nsp_cli.super_resolve):
        with pytest.raises(UsageError, match=said):
            call(photo, backend=model)


@pytest.mark.parametrize("path", ["missing.png", "a\0b", "x" * 5000, "."])
def test_a_path_that_cannot_be_read_is_an_input_error(path: str, model: Any) -> None:
    with pytest.raises(InputError):
        nsp_cli.denoise(path, backend=model)


@pytest.mark.parametrize(
    "options",
    [
        {"strength": "much"}, {"strength": None}, {"strength": float("nan")}, {"strength": 101}, {"strength": 10**400},
        {"luma": "all"}, {"chroma": -1}, {"noise": "strong"}, {"noise": 256}, {"noise": float("nan")},
        {"tile": 1.5}, {"tile": "large"}, {"tile": -1}, {"tile": True}, {"report": 3}, {"backend": "torch"},
        {"model": 3}, {"model": "no such model"},
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any], model: Any) -> None:
    given = {} if "model" in options else {"backend": model}
    for call in (nsp_cli.denoise, nsp_cli.super_resolve):
        with pytest.raises(NspError):
            call(PIXELS, **{**given, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"device": "gpu"}, {"device": 3}, {"precision": "int8"}, {"precision": 16}, {"backend": "tensorflow"},
        {"settings": 3}, {"settings": {"foo": 1}}, {"settings": {"phase": "x"}}, {"task": "embellish"},
        {"megapixels": "many"},
    ],
)  # fmt: skip
def test_a_backend_that_cannot_be_is_refused(options: dict[str, Any], weights: Callable[..., Path]) -> None:
    with pytest.raises(NspError):
        nsp_cli.load_backend(weights(), **options)


def test_a_model_and_a_backend_together_are_refused(model: Any, weights: Callable[..., Path]) -> None:
    for call in (nsp_cli.denoise, nsp_cli.super_resolve):
        with pytest.raises(UsageError, match="either `model` or `backend`"):
            call(PIXELS, model=weights(), backend=model)


def test_a_backend_for_another_task_is_refused(model: Any, weights: Callable[..., Path]) -> None:
    enlarging = nsp_cli.load_backend(weights(), "direct", device="cpu")  # type: ignore[arg-type]
    for call, backend, task in ((nsp_cli.denoise, enlarging, "denoise"), (nsp_cli.super_resolve, model, "direct")):
        with pytest.raises(UsageError, match=f"was opened for .*, not for '{task}'; open it with .*task='{task}'"):
            call(PIXELS, backend=backend)
    assert nsp_cli.super_resolve(PIXELS, backend=enlarging).shape == (80, 96, 3)


def test_a_frame_has_the_range_of_an_array(model: Any) -> None:
    for value, fault in ((np.nan, "that are NaN or infinite"), (255, "from 0")):
        with pytest.raises(UsageError, match=f"A float photo has values {fault}"):
            nsp_cli.denoise(Frame(np.full((8, 8, 3), value, np.float32)), backend=model)


def test_strength_0_returns_a_copy_and_reports_the_end(model: Any) -> None:
    done: list[float] = []
    for photo in (PIXELS, Frame(PIXELS)):
        result = nsp_cli.denoise(photo, backend=model, strength=0, report=done.append)
        pixels = result.pixels if isinstance(result, Frame) else result
        assert (pixels == PIXELS).all()
        assert not np.may_share_memory(pixels, PIXELS)
    assert done == [1.0, 1.0]


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int64, np.uint8])
def test_options_may_be_numbers_of_numpy(kind: type, model: Any, weights: Callable[..., Path]) -> None:
    options = {"strength": 50, "luma": 80, "chroma": 60}
    expected = nsp_cli.denoise(PIXELS, backend=model, tile=np.int64(16), **options)
    given = {name: kind(value) for name, value in options.items()}
    assert (nsp_cli.denoise(PIXELS, backend=model, tile=16, **given) == expected).all()
    assert type(nsp_cli.load_backend(weights(), megapixels=kind(3), settings={"phase": np.int32(1)})) is type(model)
    with pytest.raises(UsageError, match="strength must be a number or 'auto'"):
        nsp_cli.denoise(PIXELS, backend=model, strength=np.float32(np.nan))


@pytest.mark.slow
def test_export_takes_text_and_refuses_a_name_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, weights: Callable[..., Path], tmp_path: Path
) -> None:
    monkeypatch.setattr("nsp_cli.model.checkpoint.load_model", lambda _: pytest.fail("The name comes first."))
    calls = (nsp_cli.export, partial(nsp_cli.api.export_int8, photos="."), nsp_cli.api.export_darktable)
    for call, suffix in zip(calls, (".onnx", ".onnx", ".dtmodel"), strict=True):
        for name in ("o", "o.ONNX", "o.safetensors"):
            with pytest.raises(UsageError, match=f"must end in {suffix}, got {name}"):
                call(weights(), str(tmp_path / name))
        with pytest.raises(OutputError, match="there is no folder"):
            nsp_cli.api.export_int8(weights(), str(tmp_path / "none" / "o.onnx"), photos=".")
    monkeypatch.undo()
    nsp_cli.export(weights(), str(tmp_path / "o.onnx"))
    assert (tmp_path / "o.onnx").is_file()


def test_an_export_without_a_model_is_of_one_network_at_one_scale() -> None:
    files = [model_to_export(None, task) for task in (Task.DENOISE, Task.DIRECT)]
    assert files == [registry.resolve(registry.PLAIN), registry.resolve(None, Task.DIRECT)]
    assert all(read_spec(file).network == "resunet" for file in files)


def test_modes_and_tasks_may_be_text(weights: Callable[..., Path], exported: Path, tmp_path: Path) -> None:
    large = nsp_cli.super_resolve(PIXELS, model=weights(), mode="shuffle")
    assert large.shape == (80, 96, 3)
    for mode in ("denoise", "embellish", 3, None):
        with pytest.raises(UsageError, match="mode must be one of direct, shuffle, shuffle-denoise, got"):
            nsp_cli.super_resolve(PIXELS, model=weights(), mode=mode)
    for call in (lambda: nsp_cli.load_model(exported), lambda: nsp_cli.export(exported, tmp_path / "x.onnx")):
        with pytest.raises(ModelError, match=r"needs the \.safetensors file"):
            call()
    with pytest.raises(UsageError, match="task must be"):
        nsp_cli.load_model(weights(), "embellish")  # type: ignore[arg-type]


def test_every_kind_of_photo_gives_the_same_result(model: Any, tmp_path: Path) -> None:
    expected = nsp_cli.denoise(PIXELS, backend=model)
    picture = Image.fromarray(PIXELS)
    picture.info["dpi"] = (72, 72)
    picture.save(tmp_path / "photo.png")
    from_picture = nsp_cli.denoise(picture, backend=model)
    assert isinstance(from_picture, Image.Image)
    assert (np.asarray(from_picture) == expected).all()
    assert from_picture.info["dpi"] == (72, 72)
    for path in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        frame = nsp_cli.denoise(path, backend=model)
        assert isinstance(frame, Frame)
        assert (frame.pixels == expected).all()
    assert (nsp_cli.denoise(Frame(PIXELS), backend=model).pixels == expected).all()
    assert (nsp_cli.denoise(PIXELS[::-1, ::-1][::-1, ::-1], backend=model) == expected).all()
    deep = nsp_cli.denoise(PIXELS.astype(np.float32) / 255, backend=model)
    assert np.abs(deep * 255 - expected).max() < 0.51


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_picture_of_pillow_keeps_its_mode_and_its_alpha(mode: str, model: Any) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.fromarray(PIXELS[..., 1]))
    result = nsp_cli.denoise(picture, backend=model)
    assert (result.mode, result.size) == (mode, picture.size)
    if "A" in mode:
        assert (np.asarray(result)[..., -1] == PIXELS[..., 1]).all()


def test_highlights_above_white_stay(model: Any) -> None:
    bright = np.full((16, 16, 3), 8.0, np.float32)
    assert nsp_cli.denoise(bright, backend=model).max() > 7


def test_a_picture_in_other_colours_is_read_by_its_profile(model: Any, tmp_path: Path) -> None:
    from tests.image.icc_builders import rgb_profile

    picture = Image.fromarray(PIXELS)
    picture.info["icc_profile"] = profile = rgb_profile("p3")
    picture.save(tmp_path / "p3.png", icc_profile=profile)
    expected = nsp_cli.denoise(read(tmp_path / "p3.png"), backend=model).pixels
    assert (np.asarray(nsp_cli.denoise(picture, backend=model)) == expected).all()
    assert not (nsp_cli.denoise(PIXELS, backend=model) == expected).all()

"""What a newcomer meets first: checks before a model is loaded, formats by any spelling, which models enlarge."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.image import Frame, read, write
from tests.cli.test_commands import run


def test_no_model_is_loaded_where_nothing_can_be_written(
    noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("nsp_cli.api.open_backend", loaded)
    out = tmp_path / "out"
    out.mkdir()
    for photo in noisy_photos.iterdir():
        (out / photo.name).write_bytes(photo.read_bytes())
    assert run("denoise", noisy_photos, out)[0] == 0
    code, said = run("denoise", noisy_photos / "0.png", "-o", out / "0.png")
    assert (code, "exists already" in said) == (1, True)
    code, said = run("denoise", noisy_photos / "0.png", "-o", out / "0.png" / "x.png")
    assert (code, "cannot be written" in said) == (1, True)
    assert run("denoise", noisy_photos, out, "-m", "nothing")[0] == 4


@pytest.mark.parametrize(("spelled", "suffix"), [("JPEG", "jpeg"), (".Tiff", "tiff"), ("JPG", "jpg"), ("WebP", "webp")])
def test_a_format_may_be_spelled_in_capitals(
    spelled: str, suffix: str, weights: Callable[..., Path], tmp_path: Path
) -> None:
    write(Frame(np.zeros((16, 16, 3), np.uint8)), tmp_path / "a.png")
    assert run("denoise", tmp_path / "a.png", "-f", spelled, "-m", weights())[0] == 0
    assert read(tmp_path / f"a_nsp.{suffix}").size == (16, 16)


def test_a_model_that_does_not_enlarge_is_answered_by_those_that_do(noisy_photos: Path, tmp_path: Path) -> None:
    code, said = run("sr", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", "best")
    assert code == ModelError.exit_code
    assert "nsp and fast-sr enlarge; use --model fast-sr" in said
    assert "; use --model nsp" in run("sr", noisy_photos / "0.png", "-m", "best", "--mode", "shuffle")[1]


@pytest.mark.parametrize("jobs", [0, 65])
def test_each_thread_may_hold_a_photo_so_their_number_has_a_limit(
    jobs: int, noisy_photos: Path, tmp_path: Path
) -> None:
    code, said = run("denoise", noisy_photos, tmp_path / "out", "-j", jobs)
    assert (code, "--jobs must be from 1 to 64" in said) == (UsageError.exit_code, True)


def test_a_photo_is_no_model(noisy_photos: Path, tmp_path: Path) -> None:
    code, said = run("denoise", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", noisy_photos / "0.png")
    assert code == ModelError.exit_code
    assert "0.png is not a model; models are .safetensors or .onnx files." in said

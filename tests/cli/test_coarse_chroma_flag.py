"""`--coarse-chroma` in the commands that have it, in the settings for cameras, and in the stamp of a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.cli.batch.stamp import read_stamps
from nsp_cli.image import Frame, read, write
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.networks import build_network
from tests.cli.test_commands import run

Weights = Callable[..., Path]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    write(Frame(noise), tmp_path / "a.png")
    return tmp_path / "a.png"


def pixels(photo: Path, name: str, *arguments: object) -> np.ndarray:
    out = photo.with_name(name)
    code, said = run("denoise", photo, out, "--device", "cpu", "--precision", "fp32", *arguments)
    assert code == 0, said
    return read(out).pixels.astype(int)


def test_it_is_switched_on_and_off_and_is_in_the_stamp(photo: Path, weights: Weights) -> None:
    off, on = weights("off.safetensors"), weights("on.safetensors", coarse_chroma=True)
    without, with_it = pixels(photo, "0.png", "-m", off), pixels(photo, "1.png", "-m", on)
    assert np.abs(without - with_it).max() > 1
    assert np.array_equal(with_it, pixels(photo, "2.png", "-m", off, "--coarse-chroma"))
    assert np.array_equal(without, pixels(photo, "3.png", "-m", on, "--no-coarse-chroma"))
    stamps = [read_stamps(photo.with_name(name))[-1].settings for name in ("0.png", "2.png", "3.png")]
    assert [stamp.get("coarse_chroma") for stamp in stamps] == [None, True, False]
    assert np.array_equal(with_it, pixels(photo, "4.png", "-m", off, "--like", photo.with_name("2.png")))


def test_a_camera_may_have_it(photo: Path, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSP_HOME", str(tmp_path))
    config, model = tmp_path / "config.toml", weights()
    expected = pixels(photo, "0.png", "-m", model, "--coarse-chroma")
    config.write_text('[camera."*"]\ncoarse_chroma = true\n')
    assert np.array_equal(pixels(photo, "1.png", "-m", model), expected)
    assert not np.array_equal(pixels(photo, "2.png", "-m", model, "--no-coarse-chroma"), expected)
    lines = run("denoise", photo, tmp_path / "3.png", "-m", model, "--json")[1]
    assert json.loads(lines.splitlines()[-1])["settings"]["coarse_chroma"] is True
    config.write_text('[camera."*"]\ncoarse_chroma = 1\n')
    code, said = run("denoise", photo, tmp_path / "4.png", "-m", model)
    assert (code, "coarse_chroma" in said) == (2, True)


@pytest.mark.slow
def test_an_exported_file_has_it_for_good(photo: Path, weights: Weights) -> None:
    model, graph = weights(), photo.with_name("graph.onnx")
    assert run("export", graph, "-m", model, "--coarse-chroma")[0] == 0
    expected = pixels(photo, "0.png", "-m", model, "--coarse-chroma")
    assert np.abs(pixels(photo, "1.png", "-m", graph, "--precision", "auto") - expected).max() <= 1
    code, said = run("denoise", photo, photo.with_name("2.png"), "-m", graph, "--no-coarse-chroma")
    assert (code, "was fixed when it was exported" in said) == (2, True)


def test_enlarging_has_none(photo: Path) -> None:
    code, said = run("sr", photo, photo.with_name("large.png"), "--scale", 2, "--coarse-chroma", "--device", "cpu")
    assert (code, "--coarse-chroma goes with denoising alone." in said) == (2, True)


def test_eval_measures_with_and_without(photo: Path, weights: Weights) -> None:
    for kind in ("noisy", "clean"):
        photo.with_name(f"x_{kind}.png").write_bytes(photo.read_bytes())
    photo.unlink()
    lines = [
        run("eval", photo.parent, photo.parent, "-m", weights(), "--device", "cpu", "--json", *flag)[1]
        for flag in ((), ("--coarse-chroma",))
    ]
    first, second = (json.loads(said) for said in lines)
    assert first != second


def test_export_refuses_it_where_the_task_enlarges(tmp_path: Path) -> None:
    code, said = run("export", tmp_path / "large.onnx", "--task", "direct", "--coarse-chroma")
    assert (code, "--coarse-chroma goes with denoising alone." in said) == (2, True)
    assert not list(tmp_path.iterdir())


def test_a_method_without_the_setting_has_it_too(photo: Path, weights: Weights) -> None:
    _, spec = load_model(weights())
    model = photo.with_name("pd.safetensors")
    network = build_network("dbsn", arguments := {**spec.network_args, "scale": 1})
    save_model(network, replace(spec, method="apbsn", network_args=arguments, method_args={}), model)
    without, with_it = pixels(photo, "0.png", "-m", model), pixels(photo, "1.png", "-m", model, "--coarse-chroma")
    assert np.abs(without - with_it).max() > 0

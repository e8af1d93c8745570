"""Imported weights in the other commands: they denoise, enlarge, train, teach, are exported and evaluated like ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.image import Frame, read, write
from nsp_cli.model.checkpoint import load_model
from tests.cli.test_commands import run
from tests.model.test_importing import CASES, lively, published, save

STUDENT, NSP = "RD student", "NSP, t = 2"


def imported(case: str, folder: Path) -> Path:
    """Save the tiny network of a case as its authors would, and import it with the command."""
    source, target = (
        save({"state_dict": published(lively(*CASES[case][:2]))}, folder / "w.pth"),
        folder / "w.safetensors",
    )
    assert run("import", source, target)[0] == 0
    return target


@pytest.mark.parametrize("case", [STUDENT, NSP])
def test_they_denoise_and_are_evaluated(case: str, tmp_path: Path) -> None:
    model, noisy, clean = imported(case, tmp_path), tmp_path / "noisy", tmp_path / "clean"
    for folder, spread in ((clean, 1), (noisy, 40)):
        folder.mkdir()
        pixels = np.random.default_rng(0).integers(120 - spread, 120 + spread, (33, 37, 3), np.uint8)
        write(Frame(pixels), folder / "a.png")
    assert run("denoise", noisy / "a.png", "-o", tmp_path / "a.png", "-m", model)[0] == 0
    assert read(tmp_path / "a.png").pixels.shape == (33, 37, 3)
    code, said = run("eval", noisy, clean, "-m", model, "--json")
    assert code == 0
    assert json.loads(said)["mean"]["psnr"] > 0


def test_nsp_enlarges(noisy_photos: Path, tmp_path: Path) -> None:
    model = imported(NSP, tmp_path)
    for mode in ("direct", "shuffle"):
        target = tmp_path / f"{mode}.png"
        assert run("sr", noisy_photos / "0.png", "-o", target, "--mode", mode, "-m", model)[0] == 0
        assert read(target).pixels.shape == (192, 224, 3)
    assert run("sr", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", imported(STUDENT, noisy_photos))[0] != 0


def test_training_goes_on_from_them_and_they_teach(noisy_photos: Path, tmp_path: Path) -> None:
    model = imported(NSP, tmp_path)
    small = ("--steps", 1, "--batch", 1, "--patch", 80, "--device", "cpu", "--precision", "fp32")
    assert run("train", noisy_photos, "-o", tmp_path / "more.safetensors", "--from", model, *small)[0] == 0
    more, spec = load_model(tmp_path / "more.safetensors")
    assert spec.network_args == load_model(model)[1].network_args
    assert any(not (w == v).all() for w, v in zip(more.parameters(), load_model(model)[0].parameters(), strict=True))
    student = ("--method", "rd", "--teacher", model, "--set", "width=4", "--set", "levels=2")
    assert run("train", noisy_photos, "-o", tmp_path / "student.safetensors", *student, *small)[0] == 0
    assert load_model(tmp_path / "student.safetensors")[1].training["teachers"][0]["file"] == "w.safetensors"


@pytest.mark.slow
def test_they_are_exported(tmp_path: Path) -> None:
    assert run("export", tmp_path / "w.onnx", "-m", imported(STUDENT, tmp_path))[0] == 0
    photo = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    write(Frame(photo), tmp_path / "a.png")
    for name in ("w.safetensors", "w.onnx"):
        assert run("denoise", tmp_path / "a.png", "-o", tmp_path / f"{name}.png", "-m", tmp_path / name)[0] == 0
    results = [read(tmp_path / f"{name}.png").pixels.astype(int) for name in ("w.safetensors", "w.onnx")]
    assert np.abs(results[0] - results[1]).max() <= 1

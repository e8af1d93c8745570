"""Imported weights in the other commands: they denoise, enlarge, train, teach, are exported and evaluated like ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nsp_cli.image import Frame, read, read_srgb, to_unit, write
from nsp_cli.model.checkpoint import load_model
from nsp_cli.training.cache import OutputCache
from nsp_cli.training.teachers import TeacherTargets, find_teacher
from tests.cli.test_commands import run
from tests.model.test_importing import CASES, TBSN, lively, published, published_tbsn, save

STUDENT, STUDENT_102, APR, NSP = "RD student", "TM-BSN student", "APR", "NSP, t = 2"
TBSNS = {"TBSN": {**TBSN, "scale": 1, "tail": "plain"}, "NSP on TBSN": {**TBSN, "scale": 2}}
EVERY = [*CASES, *TBSNS]
TRAINED = [pytest.param(case, marks=[pytest.mark.slow] * (case in TBSNS)) for case in EVERY if "student" not in case]


def imported(case: str, folder: Path) -> Path:
    """Save the tiny network of a case as its authors would, and import it with the command."""
    if case in TBSNS:
        state, asked = published_tbsn(lively("tbsn", TBSNS[case]), 1, 2), None
    else:
        state, asked = published(lively(*CASES[case][:2])), CASES[case][2]
    source, target = save({"state_dict": state}, folder / "w.pth"), folder / "w.safetensors"
    assert run("import", source, target, *(() if asked is None else ("--as", asked)))[0] == 0
    return target


@pytest.mark.parametrize("case", EVERY)
@pytest.mark.slow
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


@pytest.mark.parametrize("case", [STUDENT, STUDENT_102])
def test_nothing_comes_between_a_student_and_its_result(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, on a processor with bfloat16 and in tiles: the network in float32, clipped and rounded once."""
    monkeypatch.setattr("nsp_cli.engine.backends.device._has_bf16", lambda _: True)
    model = imported(case, tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (160, 192, 3), np.uint8)
    write(Frame(photo), tmp_path / "in.png")
    network, _ = load_model(model)
    with torch.no_grad():
        output = network(torch.from_numpy(to_unit(photo)).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    expected = np.rint(255 * output.clip(0, 1)).astype(int)
    assert expected.std() > 10
    for tile in (0, 32):
        target = tmp_path / f"{tile}.png"
        assert run("denoise", tmp_path / "in.png", target, "-m", model, "--tile", tile, "--device", "cpu")[0] == 0
        difference = np.abs(read(target).pixels - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3  # halves that are rounded up or down


def test_weights_that_do_not_enlarge_are_refused_by_sr(noisy_photos: Path, tmp_path: Path) -> None:
    for case in ("NSP, t = 1", APR):
        code, _ = run("sr", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", imported(case, tmp_path))
        assert code != 0
        assert not (tmp_path / "x.png").exists()
        (tmp_path / "w.safetensors").unlink()


def test_nsp_enlarges(noisy_photos: Path, tmp_path: Path) -> None:
    model = imported(NSP, tmp_path)
    for mode in ("direct", "shuffle"):
        target = tmp_path / f"{mode}.png"
        assert run("sr", noisy_photos / "0.png", "-o", target, "--mode", mode, "-m", model)[0] == 0
        assert read(target).pixels.shape == (192, 224, 3)
    assert run("sr", noisy_photos / "0.png", "-o", tmp_path / "x.png", "-m", imported(STUDENT, noisy_photos))[0] != 0


@pytest.mark.parametrize("case", TRAINED)
def test_training_goes_on_from_each(case: str, noisy_photos: Path, tmp_path: Path) -> None:
    """With the method that they were imported with; students need a teacher, see below."""
    model, more = imported(case, tmp_path), tmp_path / "more.safetensors"
    small = ("--steps", 1, "--batch", 1, "--patch", 80, "--device", "cpu", "--precision", "fp32")
    assert run("train", noisy_photos, "-o", more, "--from", model, *small)[0] == 0
    before, after = (load_model(path) for path in (model, more))
    assert (after[1].method, dict(after[1].method_args)) == (before[1].method, dict(before[1].method_args))
    assert any(not (w == v).all() for w, v in zip(before[0].parameters(), after[0].parameters(), strict=True))


@pytest.mark.parametrize("case", [STUDENT, pytest.param(STUDENT_102, marks=pytest.mark.slow)])
def test_students_train_on_an_imported_teacher_that_reflects_its_margin(
    case: str, noisy_photos: Path, tmp_path: Path
) -> None:
    """The teacher of AT-BSN and APR has six blind spots, and 16 pixels on all sides in each."""
    (tmp_path / "t").mkdir()
    teacher, model = imported(APR, tmp_path / "t"), imported(case, tmp_path)
    small = ("--steps", 1, "--batch", 1, "--patch", 80, "--device", "cpu", "--precision", "fp32")
    target = tmp_path / "more.safetensors"
    assert run("train", noisy_photos, "-o", target, "--from", model, "--teacher", teacher, *small)[0] == 0
    network, spec = load_model(target)
    assert (spec.method, spec.training["teachers"][0]["views"]) == ("rd", 6)
    assert spec.network_args == load_model(model)[1].network_args
    assert any(not (w == v).all() for w, v in zip(network.parameters(), load_model(model)[0].parameters(), strict=True))
    photo = noisy_photos / "0.png"
    _, *targets = TeacherTargets(
        [find_teacher(str(teacher), 0)], OutputCache(tmp_path / "kept", 10**8), read_srgb, "cpu"
    )(photo)
    at_bsn, _ = load_model(teacher)
    noisy = torch.from_numpy(to_unit(read(photo).pixels)).permute(2, 0, 1)[None]
    for k, found in enumerate(targets):
        with torch.no_grad():
            extended = F.pad(noisy, (16, 16, 16, 16), mode="reflect")
            output = at_bsn(extended, blind_spot_size=k)[0, :, 16:-16, 16:-16].permute(1, 2, 0).numpy()
        assert np.abs(found.astype(int) - np.rint(255 * output.clip(0, 1))).max() <= 1


def test_training_goes_on_from_them_and_they_teach(noisy_photos: Path, tmp_path: Path) -> None:
    model = imported(NSP, tmp_path)
    small = ("--steps", 1, "--batch", 1, "--patch", 80, "--device", "cpu", "--precision", "fp32")
    assert run("train", noisy_photos, "-o", tmp_path / "more.safetensors", "--from", model, *small)[0] == 0
    more, spec = load_model(tmp_path / "more.safetensors")
    assert spec.network_args == load_model(model)[1].network_args
    assert any(not (w == v).all() for w, v in zip(more.parameters(), load_model(model)[0].parameters(), strict=True))
    student = ("--method", "rd", "--network", "unet", "--teacher", model, "--set", "width=4", "--set", "levels=2")
    assert run("train", noisy_photos, "-o", tmp_path / "student.safetensors", *student, *small)[0] == 0
    assert load_model(tmp_path / "student.safetensors")[1].training["teachers"][0]["file"] == "w.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)  # those of TBSN take minutes; test_contract.py exports its networks
def test_they_are_exported(case: str, tmp_path: Path) -> None:
    assert run("export", tmp_path / "w.onnx", "-m", imported(case, tmp_path))[0] == 0
    photo = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    write(Frame(photo), tmp_path / "a.png")
    for name in ("w.safetensors", "w.onnx"):
        assert run("denoise", tmp_path / "a.png", "-o", tmp_path / f"{name}.png", "-m", tmp_path / name)[0] == 0
    results = [read(tmp_path / f"{name}.png").pixels.astype(int) for name in ("w.safetensors", "w.onnx")]
    assert np.abs(results[0] - results[1]).max() <= 1

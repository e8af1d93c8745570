"""`nsp eval --dataset` from files to figures, with a backend whose answer is known."""

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import nsp_cli.api
from nsp_cli.model.spec import PipelineSpec
from tests.cli.test_commands import run
from tests.mat_builders import numbered, save_dnd, save_v5

Weights = Callable[..., Path]


class Brighter:
    """A backend that adds ten levels of 255 to every pixel."""

    spec = PipelineSpec(task="denoise", scale=1, multiple=1, halo=0, working_bytes=4)

    def run(self, tile: np.ndarray) -> np.ndarray:
        return tile + np.float32(10 / 255)

    def free_bytes(self) -> int:
        return 10**9


@pytest.fixture
def brighter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsp_cli.api, "open_backend", lambda *_, **__: Brighter())


@pytest.fixture
def sidd(tmp_path: Path) -> Path:
    """Noisy blocks that are ten levels too dark, photo 0 in all blocks and photo 1 in none."""
    clean = numbered(2, 2, 16, 16, 3)
    noisy = clean.copy()
    noisy[0] -= 10
    for name, blocks in (("ValidationNoisy", noisy), ("ValidationGt", clean), ("BenchmarkNoisy", noisy)):
        save_v5(tmp_path / f"{name}BlocksSrgb.mat", f"{name}BlocksSrgb", blocks)
    return tmp_path


def test_the_figures_are_those_of_the_blocks(brighter: None, sidd: Path) -> None:
    code, text = run("eval", sidd, "--dataset", "sidd-val", "--json")
    assert code == 0
    values = json.loads(text)
    ten_off = peak_signal_noise_ratio(np.zeros(1, np.uint8), np.full(1, 10, np.uint8))
    assert values["dataset"] == "SIDD validation"
    assert set(values["figures"]) == {"psnr", "ssim", "ssim_y", "ssim_channels"}
    assert [row["photo"] for row in values["photos"]][1:3] == ["photo 1, block 2", "photo 2, block 1"]
    assert [row["psnr"] for row in values["photos"][:2]] == [None, None]  # perfect: infinite
    assert [row["noisy_psnr"] for row in values["photos"][:2]] == pytest.approx([ten_off] * 2)
    assert [row["psnr"] for row in values["photos"][2:]] == pytest.approx([ten_off] * 2)
    assert values["photos"][0]["ssim_y"] == pytest.approx(1)
    assert values["mean"]["ssim"] == pytest.approx(np.mean([row["ssim"] for row in values["photos"]]))


def test_the_table_names_every_figure(brighter: None, sidd: Path) -> None:
    code, text = run("eval", sidd, "--dataset", "sidd-val")
    assert code == 0
    for name in ("SIDD validation, mean of 4", "PSNR, RGB", "SSIM, RGB, Gauss", "SSIM, Y, Gauss", "7x7", "seconds"):
        assert name in text


def test_a_submission_holds_what_was_denoised(brighter: None, sidd: Path) -> None:
    target = sidd / "submit.csv"
    code, text = run("eval", sidd, "--dataset", "sidd-bench", "--submission", target)
    assert code == 0
    assert "has 1280 blocks and here are 4" in text
    with target.open(newline="") as file:
        blocks = [base64.b64decode(row["BLOCK"]) for row in csv.DictReader(file)]
    clean = numbered(2, 2, 16, 16, 3)
    assert blocks[1] == clean[0, 1].tobytes()
    assert blocks[2] == (clean[1, 0] + 10).tobytes()


def test_dnd_is_bundled(brighter: None, tmp_path: Path) -> None:
    from scipy.io import loadmat

    photo = (numbered(20, 30, 3) / 255).astype(np.float32)
    save_dnd(tmp_path / "dnd", [photo], [[(4, 6, 14, 26), (0, 0, 10, 10)]])
    assert run("eval", tmp_path / "dnd", "--dataset", "dnd", "--submission", tmp_path / "out")[0] == 0
    crop = loadmat(tmp_path / "out" / "bundled" / "0001.mat")["Idenoised"][0, 0]
    np.testing.assert_allclose(crop, np.clip(photo[4:14, 6:26] + 10 / 255, 0, 1), atol=1e-6)


def test_a_real_model_runs_on_a_folder_of_pairs(weights: Weights, tmp_path: Path) -> None:
    from nsp_cli.image import Frame, write

    for name in ("a_real", "a_mean"):
        write(Frame(numbered(24, 20, 3)), tmp_path / f"{name}.png")
    model = weights()
    code, text = run("eval", tmp_path, "--dataset", "cc", "-m", model, "--device", "cpu", "--json")
    assert code == 0
    (row,) = json.loads(text)["photos"]
    assert row["noisy_psnr"] is None
    assert row["psnr"] < 40


def test_wrong_flags_are_one_sentence_and_exit_code_two(sidd: Path) -> None:
    cases = [
        ([sidd], "or one and --dataset"),
        ([sidd, sidd, "--dataset", "cc"], "needs one folder"),
        ([sidd, "--dataset", "bsd68"], "must be one of sidd-val"),
        ([sidd, "--dataset", "sidd-bench"], "give --submission"),
        ([sidd, "--dataset", "sidd-val", "--submission", sidd / "a.csv"], "is measured here"),
        ([sidd, sidd, "--submission", sidd / "a.csv"], "goes with --dataset"),
    ]
    for arguments, sentence in cases:
        code, said = run("eval", *arguments)
        assert (code, sentence in said) == (2, True), (arguments, said)


def test_a_blind_spot_is_chosen_for_a_data_set_too(noisy_photos: Path, tmp_path: Path, weights: Weights) -> None:
    """These weights have none to choose, and say so, as they do for two folders."""
    for name in ("a_real.png", "a_mean.png"):
        (tmp_path / name).write_bytes((noisy_photos / "0.png").read_bytes())
    code, said = run("eval", tmp_path, "--dataset", "cc", "-m", weights(), "--blind", 1)
    assert code == 2
    assert "no blind spot to choose" in said

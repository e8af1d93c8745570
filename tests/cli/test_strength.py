"""`--strength auto`, `--luma`, `--chroma` and `nsp inspect`, as a person types them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nsp_cli.api import denoise, super_resolve
from nsp_cli.image import Frame, read, write
from nsp_cli.image.luma import luma
from nsp_cli.model.checkpoint import save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from tests.cli.test_commands import run

Weights = Callable[..., Path]


def split(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Luma and chroma of a photo, in 8-bit units."""
    pixels = read(path).pixels.astype(np.float32)
    return luma(pixels), pixels - luma(pixels)[..., None]


def test_luma_and_chroma_on_the_command_line(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    photo, model = noisy_photos / "0.png", weights()
    for name, flags in (("y", ["--chroma", 0]), ("c", ["--luma", 0]), ("none", ["--luma", 0, "--chroma", 0])):
        assert run("denoise", photo, tmp_path / f"{name}.png", *flags, "-m", model, "--device", "cpu")[0] == 0
    grey, colour = split(photo)
    y, c = split(tmp_path / "y.png"), split(tmp_path / "c.png")
    # Pixels at black or white cannot take their change, so the middle of the distribution is compared.
    assert np.quantile(np.abs(y[1] - colour), 0.9) <= 1.0
    assert np.abs(y[0] - grey).mean() > 1.0
    assert np.quantile(np.abs(c[0] - grey), 0.9) <= 1.0
    assert np.abs(c[1] - colour).mean() > 1.0
    assert np.array_equal(read(tmp_path / "none.png").pixels, read(photo).pixels)


def test_sr_takes_the_looks_against_the_enlargement(weights: Weights, noisy_photos: Path) -> None:
    pixels = read(noisy_photos / "0.png").pixels.astype(np.float32) / np.float32(255)
    model = weights()
    bicubic = super_resolve(pixels, model=model, strength=0)
    assert np.array_equal(super_resolve(pixels, model=model, luma=0, chroma=0), bicubic)
    colour = super_resolve(pixels, model=model, luma=0)
    assert np.abs(luma(colour - bicubic)).max() < 1e-5
    assert np.abs(colour - bicubic).mean() > 1e-3


def test_auto_says_what_it_measured_and_chose(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    code, text = run("denoise", noisy_photos, tmp_path / "out", "--strength", "auto", "-m", weights())
    assert code == 0
    assert text.count("(luma)") == 5
    assert text.count(", strength ") == 5
    assert [text.count(f"{photo}: noise ") for photo in noisy_photos.iterdir()] == [1] * 5
    frame = read(noisy_photos / "1.png")
    assert np.array_equal(
        read(tmp_path / "out" / "1.png").pixels, denoise(frame, model=weights(), strength="auto").pixels
    )


def test_auto_keeps_the_types_of_the_settings_in_json(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    arguments = (noisy_photos / "0.png", "-m", weights(), "--json", "--quiet")
    text = run("denoise", *arguments, "-o", tmp_path / "a.png", "--strength", "auto", "--report", page)[1]
    settings = json.loads(text.splitlines()[-1])["settings"]
    assert settings["noise"] is None
    assert 0 < settings["strength"] <= 100
    assert settings["measured"]["luma"] > 0
    assert set(settings["measured"]) >= {"luma", "chroma", "luma_correlation_length"}
    assert f"measured luma {settings['measured']['luma']:.1f}, chroma" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("flag", "value"), [("--strength", "much"), ("--luma", 101), ("--chroma", -1)])
@pytest.mark.parametrize("command", ["denoise", "sr"])
def test_wrong_looks_are_usage_errors(noisy_photos: Path, command: str, flag: str, value: object) -> None:
    code, text = run(command, noisy_photos / "0.png", flag, value)
    assert code == 2
    assert flag in text


def test_eval_takes_the_looks(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    for path in list(noisy_photos.iterdir()):
        frame = read(path)
        write(frame, tmp_path / f"{path.stem}_noisy.png")
        write(frame, tmp_path / f"{path.stem}_clean.png")
    code, text = run("eval", tmp_path, tmp_path, "-m", weights(), "--strength", "auto", "--luma", 50, "--json")
    assert code == 0
    strengths = [row["strength"] for row in json.loads(text)["photos"]]
    assert len(strengths) == 5
    assert all(0 < s < 100 for s in strengths)


def test_inspect_measures_and_writes_the_residual(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "residual.png"
    arguments = ("inspect", noisy_photos / "0.png", "-m", weights(), "--device", "cpu", "--residual", target)
    code, text = run(*arguments, "--json")
    assert code == 0
    answer = json.loads(text)
    (row,) = answer["photos"]
    assert (row["height"], row["width"]) == (96, 112)
    assert min(row["luma"], row["chroma"], row["luma_correlation_length"], row["luma_reach"], row["strength"]) > 0
    assert row["factor"] >= 1
    assert answer["model"]["name"] == "tiny"
    picture = read(target).pixels
    before = read(noisy_photos / "0.png").pixels
    change = (denoise(before, model=weights()).astype(np.float32) - before) * row["factor"]
    assert np.abs(picture - np.clip(127.5 + change, 0, 255)).max() <= 1
    code, text = run(*arguments)
    assert code == 2  # the residual is there already
    assert "exists" in text


def test_inspect_needs_no_flag_and_goes_on_past_a_bad_file(noisy_photos: Path, tmp_path: Path) -> None:
    (noisy_photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write(Frame(np.full((1, 1, 1), 7, np.uint8)), noisy_photos / "tiny.png")
    code, text = run("inspect", noisy_photos)
    assert "Correlation length: distance in pixels" in " ".join(text.split())
    assert code == 1
    assert "broken.png" in text
    assert "chroma corr. length" in text
    assert "tiny.png" in text
    assert run("inspect", tmp_path / "missing.png")[0] == 3
    assert run("inspect", noisy_photos, "--residual", tmp_path / "r.png")[0] == 2


def test_noise_on_the_command_line(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    arguments = {"widths": [8, 8], "depths": [1, 1], "noise_level": True}
    network = build_network("resunet", arguments)
    nn.init.normal_(network.last.weight, std=0.1)  # pyright: ignore
    model = tmp_path / "told.safetensors"
    save_model(network, ModelSpec("resunet", arguments, "simulated", {}), model)
    photo, seen = noisy_photos / "0.png", dict[str, np.ndarray]()
    measured = json.loads(run("inspect", photo, "-m", model, "--json")[1])["photos"][0]["luma"]
    for name, flags in (("own", []), ("same", ["--noise", measured]), ("more", ["--noise", 4 * measured])):
        out = tmp_path / f"{name}.png"
        assert run("denoise", photo, out, "-m", model, "--device", "cpu", "--precision", "fp32", *flags)[0] == 0
        seen[name] = read(out).pixels.astype(int)
    assert np.abs(seen["same"] - seen["own"]).max() <= 1  # `inspect` rounds
    assert np.abs(seen["more"] - seen["own"]).max() > 3
    code, said = run("denoise", photo, tmp_path / "deaf.png", "-m", weights(), "--noise", 8)
    assert code == 2
    assert "leave out --noise" in said
    assert not (tmp_path / "deaf.png").exists()

"""`nsp train --adapt nsp`: NSP's loss on the photos themselves, for networks without a blind spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.cli.commands.train_adapt import Adaptation
from nsp_cli.cli.commands.train_config import resolve_flags
from nsp_cli.cli.commands.train_flags import TrainFlags
from nsp_cli.image import Frame, write
from nsp_cli.model.checkpoint import load_model, load_tensors, save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.training.adapting_nsp import measure_distance
from tests.cli.test_adapting_command import stopping_after
from tests.cli.test_commands import run

TINY = {"widths": (8, 8), "depths": (1, 1), "noise_level": True}
FLAGS = "--batch 1 --patch 128 --save-every 1 --device cpu --precision fp32 --quiet".split()


def plain(folder: Path, method: str = "simulated", **changes: object) -> Path:
    """Weights of a plain denoiser."""
    target = folder / "plain.safetensors"
    arguments = {**TINY, **({"noise_level": False} if method in ("amsnet", "rd") else {})}
    save_model(build_network("resunet", arguments), ModelSpec("resunet", arguments, method, changes), target)
    return target


def test_a_run_learns_from_the_photos_themselves(large_noisy_photos: Path, tmp_path: Path) -> None:
    start, target = plain(tmp_path, ensemble=2, coarse_chroma=True), tmp_path / "own.safetensors"
    command = ("train", large_noisy_photos, "-o", target, "--from", start, "--adapt", "nsp", "--steps", 2, *FLAGS)
    code, said = run(*command)
    assert code == 0, said
    network, spec = load_model(target)
    assert spec.method == "subimages"
    assert 1 <= spec.method_args["distance"] <= 4
    of_start = {"ensemble": 2, "coarse_chroma": True}
    assert {name: spec.method_args[name] for name in of_start} == of_start
    assert spec.training["steps"] == 2
    assert not (tmp_path / "own.run" / "clean").exists()
    first = load_tensors(start)[0]
    assert any(not value.equal(first[name]) for name, value in network.state_dict().items())
    assert run("denoise", large_noisy_photos / "0.png", tmp_path / "out.png", "-m", target)[0] == 0


@pytest.mark.parametrize("calls", [2, 7])  # while the noise is measured, and after the first step
def test_a_stopped_run_resumes_to_the_weights_of_an_unbroken_one(
    calls: int, large_noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = plain(tmp_path)

    def command(name: str) -> tuple[object, ...]:
        flags = ["--from", start, "--adapt", "nsp", "--steps", 3, "--seed", 5, *FLAGS]
        return ("train", large_noisy_photos, "-o", tmp_path / name, *flags)

    with monkeypatch.context() as patch:
        stopping_after(calls, patch)
        assert run(*command("own.safetensors"))[0] == 130
    assert (tmp_path / "own.run" / "analysis.json").exists() == (calls == 2)
    target = tmp_path / "own.safetensors"
    assert run("train", large_noisy_photos, "-o", target, "--resume", "--device", "cpu", "--quiet")[0] == 0
    assert run(*command("whole.safetensors"))[0] == 0
    first, second = load_tensors(target)[0], load_tensors(tmp_path / "whole.safetensors")[0]
    assert all(first[name].equal(second[name]) for name in first)
    assert load_model(target)[1].training["steps"] == 3


def test_the_distance_is_the_correlation_length_of_the_noise(tmp_path: Path) -> None:
    """White noise has one of a pixel; the same noise in a photo of twice the size has twice that."""
    noise = np.random.default_rng(0).normal(128, 12, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    for name, photo in (("white", noise), ("large", noise.repeat(2, 0).repeat(2, 1)), ("grey", noise[..., :1])):
        write(Frame(photo), tmp_path / f"{name}.png")
    assert [measure_distance([tmp_path / f"{name}.png"]) for name in ("white", "large", "grey")] == [1, 2, 1]


def test_the_distance_can_be_given(large_noisy_photos: Path, tmp_path: Path) -> None:
    start, target = plain(tmp_path), tmp_path / "own.safetensors"
    command = ("train", large_noisy_photos, "-o", target, "--from", start, "--adapt", "nsp", "--steps", 1, *FLAGS)
    assert run(*command, "--set", "distance=5")[0] == 0
    assert load_model(target)[1].method_args["distance"] == 5


def test_clean_photos_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    folder.mkdir()
    ramp = np.linspace(20, 220, 160, dtype=np.float32)
    write(Frame(np.uint8(np.broadcast_to(ramp[:, None, None], (160, 160, 3)))), folder / "ramp.png")
    target = tmp_path / "own.safetensors"
    command = ("train", folder, "-o", target, "--from", plain(tmp_path), "--adapt", "nsp", "--steps", 1, *FLAGS)
    code, said = run(*command)
    assert code == 2
    assert "The photos are clean" in said
    assert "--adapt nsp" in said
    assert not (tmp_path / "own.run" / "analysis.json").exists()


@pytest.mark.parametrize("way", ["nsp", "cameras"])
def test_a_network_with_a_blind_spot_is_refused(
    way: str, weights: Callable[..., Path], noisy_photos: Path, tmp_path: Path
) -> None:
    command = ("train", noisy_photos, "-o", tmp_path / "own.safetensors", "--from", weights(), "--adapt", way)
    code, said = run(*command, "--steps", 1, *FLAGS)
    assert code == 2
    assert "has a blind spot" in said
    assert "leave out --adapt" in said


@pytest.mark.parametrize("more", [("--method", "simulated"), ("--network", "unet"), ("--from", "scratch")])
def test_flags_that_choose_a_method_or_other_weights_are_refused(
    more: tuple[str, str], noisy_photos: Path, tmp_path: Path
) -> None:
    code, said = run("train", noisy_photos, "-o", tmp_path / "own.safetensors", "--adapt", "nsp", *more, *FLAGS)
    assert code == 2
    assert "leave out --method, --network and --from scratch" in said


def test_models_that_need_more_than_one_pass_are_refused(noisy_photos: Path, tmp_path: Path) -> None:
    command = ("train", noisy_photos, "-o", tmp_path / "own.safetensors", "--from", plain(tmp_path, "amsnet"), *FLAGS)
    code, said = run(*command, "--adapt", "nsp")
    assert code == 2
    assert "one pass over the photo" in said
    code, said = run(*command, "--adapt", "cameras")
    assert code == 2
    assert "use --adapt nsp" in said


def test_a_student_can_be_adapted_by_nsp_alone(large_noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.safetensors"
    command = ("train", large_noisy_photos, "-o", target, "--from", plain(tmp_path, "rd"), "--steps", 1, *FLAGS)
    assert run(*command, "--adapt", "nsp")[0] == 0
    assert load_model(target)[1].method == "subimages"


def test_cameras_are_the_default(tmp_path: Path) -> None:
    """Named or not, the settings are the same; the run itself is tested in `test_adapting_command`."""
    start = str(plain(tmp_path))
    named, default = (TrainFlags(start=start, steps=1, adapt=way) for way in (Adaptation.CAMERAS, None))
    assert resolve_flags(named) == resolve_flags(default)

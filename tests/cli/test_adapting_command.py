"""`nsp train` on noisy photos, from weights that learned from clean ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, load_tensors, save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.training import camera_fit
from tests.cli.test_commands import run

TINY = {"widths": (8, 8), "depths": (1, 1)}
train_command = import_module("nsp_cli.cli.commands.train")
FLAGS = "--batch 1 --patch 48 --save-every 1 --device cpu --precision fp32 --quiet".split()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Weights of a plain denoiser."""
    target = tmp_path / "plain.safetensors"
    save_model(build_network("resunet", TINY), ModelSpec("resunet", TINY, "simulated", {}), target)
    return target


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_fit, "_DRAWS", (4, 4))


def test_noisy_photos_teach_their_own_cameras(large_noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.safetensors"
    assert run("train", large_noisy_photos, "-o", target, "--from", "fast", "--steps", 2, *FLAGS)[0] == 0
    network, spec = load_model(target)
    assert spec.method == "simulated"
    cameras = spec.method_args["cameras"]
    assert len(cameras) == 4  # the four nearest; of painted photos, which are full of texture, the plainest alone tells
    assert len(list((tmp_path / "own.run" / "clean").glob("*.png"))) == 5
    start = load_tensors(registry.resolve("fast"))[0]
    assert any(not value.equal(start[name]) for name, value in network.state_dict().items())
    assert run("denoise", large_noisy_photos / "0.png", tmp_path / "out.png", "-m", target)[0] == 0


def test_where_the_noise_is_not_known_any_noise_is_learned(plain: Path, noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.safetensors"
    code, said = run("train", noisy_photos, "-o", target, "--from", plain, "--steps", 1, *FLAGS)
    assert code == 0
    assert "noise could not be measured" in said
    assert load_model(target)[1].method_args["cameras"] == []


def test_a_run_goes_on_with_what_the_analysis_found(large_noisy_photos: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    assert run("train", large_noisy_photos, "-o", whole, "--from", "fast", "--steps", 2, *FLAGS)[0] == 0
    from nsp_cli import training

    settings = training.saved_settings(tmp_path / "whole.run")
    assert settings.method_args["cameras"]
    copies = training.references_in(tmp_path / "whole.run" / "clean")
    calls = iter([False, True])
    job = training.Job(
        copies, broken, tmp_path / "broken.run", start=registry.resolve("fast"), device="cpu", stop=lambda: next(calls)
    )
    training.train(settings, job)
    (tmp_path / "broken.run" / "clean").symlink_to(tmp_path / "whole.run" / "clean")
    assert run("train", large_noisy_photos, "-o", broken, "--resume", "--device", "cpu", "--quiet")[0] == 0
    first, second = load_tensors(whole)[0], load_tensors(broken)[0]
    assert all(first[name].equal(second[name]) for name in first)


def test_clean_photos_are_taken_as_they_are_when_the_method_is_named(
    plain: Path, noisy_photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "clean.safetensors"
    arguments = ["--method", "simulated", "--from", plain, "--steps", 1, *FLAGS]
    assert run("train", noisy_photos, "-o", target, *arguments)[0] == 0
    assert not (tmp_path / "clean.run" / "clean").exists()
    assert not load_model(target)[1].method_args.get("cameras")


def test_a_stop_during_the_analysis_names_the_way_to_go_on(
    plain: Path, large_noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def stopped(*_: object, **__: object) -> Iterator[Callable[[], bool]]:
        yield lambda: True

    monkeypatch.setattr(train_command, "stop_on_interrupt", stopped)
    target = tmp_path / "own.safetensors"
    command = ("train", large_noisy_photos, "-o", target, "--from", plain, "--steps", 1, *FLAGS)
    code, said = run(*command)
    assert (code, "the same command, without --resume, starts again" in said) == (130, True)
    monkeypatch.undo()
    assert run(*command)[0] == 0
    assert target.exists()

"""`nsp train` on noisy photos, from weights that learned from clean ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import chain, repeat
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


@pytest.mark.slow
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


def stopping_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stop be requested after a number of calls that find none."""
    answers = chain(repeat(False, calls), repeat(True))

    @contextmanager
    def stopped(*_: object, **__: object) -> Iterator[Callable[[], bool]]:
        yield lambda: next(answers)

    monkeypatch.setattr(train_command, "stop_on_interrupt", stopped)


@pytest.mark.slow
def test_a_run_that_is_stopped_during_the_analysis_resumes_to_the_same_weights(
    large_noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [large_noisy_photos / "0.png", large_noisy_photos / "1.png"]

    def command(name: str) -> tuple[object, ...]:
        flags = ["--from", "fast", "--steps", 2, "--seed", 7, *FLAGS]
        return ("train", *photos, "-o", tmp_path / name, *flags)

    target, file = tmp_path / "own.safetensors", tmp_path / "own.run" / "analysis.json"
    resume = ("train", *photos, "-o", target, "--resume", "--device", "cpu", "--quiet")
    with monkeypatch.context() as patch:
        stopping_after(4, patch)  # once before, once after each photo, then while cameras are fitted
        for arguments in (command(target.name), resume):  # which is stopped at once
            code, said = run(*arguments)
            assert (code, target.exists(), file.exists()) == (130, False, True)
            assert f"Stopped; continue with: nsp train {photos[0]} {photos[1]} -o {target} --resume" in said
    assert run(*command(target.name))[0] == 2
    assert "go on with --resume" in run(*command(target.name))[1]
    assert run(*resume)[0] == 0
    assert not file.exists()
    assert run(*command("whole.safetensors"))[0] == 0
    first, second = load_tensors(target)[0], load_tensors(tmp_path / "whole.safetensors")[0]
    assert all(first[name].equal(second[name]) for name in first)
    spec = load_model(target)[1]
    assert spec.training["seed"] == 7
    assert spec.method_args["cameras"]
    assert run(*resume)[0] == 0  # the run has ended, and does nothing more


def test_a_stopped_analysis_resumes_with_the_same_photos_and_weights_alone(
    plain: Path, large_noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "own.safetensors"
    with monkeypatch.context() as patch:
        stopping_after(0, patch)
        assert run("train", large_noisy_photos, "-o", target, "--from", plain, "--steps", 1, *FLAGS)[0] == 130
    resume = ("train", "-o", target, "--resume", "--device", "cpu")
    file = tmp_path / "own.run" / "analysis.json"
    code, said = run(*resume, large_noisy_photos / "0.png")
    assert (code, "was made with other photos" in said, file.exists()) == (4, True, True)
    assert run(*resume, large_noisy_photos, "--steps", 3)[0] == 2
    target.write_bytes(b"of another run")
    assert run(*resume, large_noisy_photos)[0] == 2
    assert target.read_bytes() == b"of another run"
    target.unlink()
    plain.write_bytes(registry.resolve("fast").read_bytes())
    code, said = run(*resume, large_noisy_photos)
    assert (code, "needs the same weights" in said, file.exists()) == (4, True, True)
    for damaged in (b"", b"{}", b"[]", b'{"settings": 1, "start": "", "sha256": "", "photos": ""}'):
        file.write_bytes(damaged)
        assert run(*resume, large_noisy_photos)[0] == 4


def test_after_an_error_the_corrected_command_starts_again(
    plain: Path, large_noisy_photos: Path, tmp_path: Path
) -> None:
    command = ("train", large_noisy_photos, "-o", tmp_path / "own.safetensors", "--from", plain, "--steps", 1, *FLAGS)
    assert run(*command, "--device", "cuda:99")[0] == 4
    assert run(*command)[0] == 0

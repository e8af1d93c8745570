"""Errors of the system on input, output, model, stdout and stderr: one sentence, and a batch goes on."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from nsp_cli import cli
from nsp_cli.cli.commands.train import find_photos
from nsp_cli.cli.console import err
from nsp_cli.errors import ModelError, UsageError
from nsp_cli.image import Frame, write
from nsp_cli.training import TrainConfig, saved_settings

LONG = "x" * 300
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command line in this process, its last resort for errors included; return the exit code."""
    monkeypatch.setattr(sys, "argv", ["nsp", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("denoise", f"{LONG}.png", "-o", "o.png"),
        ("denoise", "x/" * 3000 + "a.png", "-o", "o.png"),
        ("denoise", "a.png", "-o", f"{LONG}.png"),
        ("denoise", "a.png", "-o", f"{LONG}/o.png"),
        ("denoise", "a.png", LONG),
        ("denoise", "a.png", "-o", "o.png", "-m", f"{LONG}.onnx"),
        ("denoise", "a.png", "-o", "o.png", "--report", f"{LONG}.html"),
        ("denoise", "a.png", "-o", "a.png/o.png"),
        ("export", f"{LONG}.onnx"),
        ("denoise", "", "-o", "o.png"),
        ("inspect", LONG),
        ("inspect", "a.png", "--residual", f"{LONG}.png"),
        ("eval", LONG, "."),
        ("eval", ".", LONG),
        ("import", "a.png", f"{LONG}.safetensors"),
        ("train", LONG),
        ("train", ".", "-o", f"{LONG}.safetensors", "--steps", "1", "--method", "nsp"),
    ],
)
def test_paths_that_cannot_be_give_a_sentence(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    noisy_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (noisy_photos / "0.png").rename("a.png")
    before = sorted(tmp_path.iterdir())
    assert main(monkeypatch, *arguments) in (1, 2, 3, 4)
    said = capsys.readouterr().err
    assert said.count("error:") + said.count("Error") == 1
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before


def test_one_bad_path_does_not_end_a_batch(monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path) -> None:
    good = noisy_photos / "0.png"
    assert main(monkeypatch, "denoise", good, f"{LONG}.png", noisy_photos / "1.png", "-o", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]


def test_a_model_without_permission_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nsp_cli.model import registry

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ModelError, match="Permission denied"):
        registry.sha256(tmp_path / "model.safetensors")


@needs_full
def test_a_full_disk_under_stdout_does_not_end_a_batch(noisy_photos: Path, tmp_path: Path) -> None:
    """In a process of its own: what is lost at its end is said by Python itself, else."""
    command = [sys.executable, "-m", "nsp_cli", "denoise", noisy_photos, "-o", tmp_path / "out", "--json"]
    with FULL.open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("No space left on device") == 1
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert len(list((tmp_path / "out").iterdir())) == 5


class Full(io.StringIO):
    def write(self, text: str) -> int:  # noqa: ARG002
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_under_stderr_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Full(), None):  # None: closed, as by 2>&-
        monkeypatch.setattr(sys, "stderr", stream)
        err.print("a line that is lost")
    monkeypatch.undo()


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_pipe_that_is_closed_is_named(
    stream: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None if stream == "stdin" else open(os.devnull))  # noqa: SIM115, PTH123
    if stream == "stdout":
        monkeypatch.setattr(sys, "stdout", None)
    assert main(monkeypatch, "denoise", "-") == 1
    assert stream in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": float("nan")}, {"lr": float("inf")}, {"lr": "fast"}, {"lr": None},
        {"minutes": float("nan"), "steps": None},
        {"minutes": float("inf"), "steps": None}, {"steps": 10**20}, {"steps": 1.5}, {"batch": 10**9}, {"patch": 10**9},
        {"keep": float("nan")}, {"cache_megabytes": -1}, {"teacher_views": -1}, {"teacher_cache_megabytes": -1},
        {"clip": -1.0},
        {"ema": float("nan")}, {"seed": 1.5}, {"method_args": 3}, {"teachers": "abc"}, {"weight_decay": float("nan")},
    ],
)  # fmt: skip
def test_settings_of_training_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TrainConfig(**{"steps": 1, **wrong})  # type: ignore[arg-type]
    values = {**json.loads(TrainConfig(steps=1).to_json()), **wrong}
    with pytest.raises(ModelError):
        TrainConfig.from_json(json.dumps(values))


def test_a_state_file_of_something_else_is_refused(tmp_path: Path) -> None:
    import torch

    for metadata in ({}, {"nsp.model": "{}"}, {"settings": "[]"}, {"settings": "{"}, {"settings": '{"steps": "1"}'}):
        save_file({"a": torch.zeros(1)}, tmp_path / "state.safetensors", metadata)
        with pytest.raises(ModelError):
            saved_settings(tmp_path)


def test_a_full_drive_is_noticed_before_the_work(
    monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("a photo was worked on")

    monkeypatch.setattr("nsp_cli.system.atomic.shutil.disk_usage", lambda _: (10**9, 10**9, 100))
    monkeypatch.setattr("nsp_cli.api.process", work)
    assert main(monkeypatch, "denoise", noisy_photos, tmp_path / "out") == 1
    assert capsys.readouterr().err.count("free bytes on the drive") == 5


def test_a_result_larger_than_its_format_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("a photo was worked on")

    monkeypatch.setattr("nsp_cli.api.process", work)
    write(Frame(np.zeros((2, 9000, 3), np.uint8)), tmp_path / "wide.webp")
    for more in ((), ("--dry-run",)):
        assert main(monkeypatch, "sr", tmp_path / "wide.webp", "-o", tmp_path / "o.webp", *more) == 1
        said = "".join(capsys.readouterr())
        assert "at most 16,383 pixels a side fit in a WebP, got 18000 x 4; use -f tiff or -f png" in said
        assert not more or "None of 1 photos would be written, 1 would fail." in said
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "wide.webp").read_bytes())))
    assert main(monkeypatch, "sr", "-") == 1
    assert "got 18000 x 4" in capsys.readouterr().err
    assert not (tmp_path / "o.webp").exists()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_devices_and_pipes_are_named_and_the_rest_is_done(
    monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (noisy_photos / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(noisy_photos / "pipe.png")
    (noisy_photos / "link.png").symlink_to("pipe.png")
    assert main(monkeypatch, "denoise", noisy_photos, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.count("is a pipe or a device, not a photo") == 3
    assert "5 of 8 photos written" in said
    assert main(monkeypatch, "denoise", noisy_photos / "zero.png", "-o", tmp_path / "o.png") == 1
    for command in ("inspect", "eval"):
        rest = [noisy_photos] if command == "eval" else []
        assert main(monkeypatch, command, noisy_photos / "zero.png", *rest) in (1, 3)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_devices_and_broken_links_are_named_by_every_command(
    monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(noisy_photos / "pipe.png")
    (noisy_photos / "nowhere.png").symlink_to("nothing")
    assert main(monkeypatch, "inspect", noisy_photos) == 1
    said = capsys.readouterr().err
    assert ("pipe.png" in said and "a pipe or a device" in said, "nowhere.png" in said) == (True, True)
    assert len(find_photos([noisy_photos])) == 5
    assert "2 pipes, devices or broken links are left out" in capsys.readouterr().err
    assert main(monkeypatch, "import", "/dev/zero", tmp_path / "x.safetensors") == 2


class Endless(io.RawIOBase):
    """A stream of zeros that fails the test when more than its head is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.given = getattr(self, "given", 0) + len(buffer)
        assert self.given < 10**6
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_an_endless_stdin_is_refused_by_its_head(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    assert main(monkeypatch, "denoise", "-") == 1
    assert "starts with the bytes 00 00" in capsys.readouterr().err


def test_a_drive_that_will_be_full_is_named_before_the_work(
    monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    largest = max(path.stat().st_size for path in noisy_photos.iterdir())
    monkeypatch.setattr("nsp_cli.system.atomic.shutil.disk_usage", lambda _: (10**9, 0, 3 * largest))
    for more in (("--dry-run",), ()):
        assert main(monkeypatch, "denoise", noisy_photos, tmp_path / "out", *more) == 0
        said = capsys.readouterr().err
        assert said.count(f"the drive of {tmp_path} has 0.00 GB free: their results may not fit") == 1


def test_watch_refuses_a_read_only_folder_at_once(
    monkeypatch: pytest.MonkeyPatch, noisy_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nsp_cli.system.atomic.os.access", lambda path, _: Path(path) != tmp_path)
    assert main(monkeypatch, "watch", noisy_photos, tmp_path / "out") == 1
    assert "without permission to write" in capsys.readouterr().err

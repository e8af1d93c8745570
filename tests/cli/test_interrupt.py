"""Signals request a stop once, and the earlier handlers come back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nsp_cli.cli.commands.train import find_photos
from nsp_cli.cli.interrupt import stop_on_interrupt
from nsp_cli.errors import NoInputError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process can send to itself")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_and_the_second_raises(number: signal.Signals, capfd: pytest.CaptureFixture) -> None:
    before = signal.getsignal(number)
    with stop_on_interrupt("step") as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err.count("Stopping after this step") == 1


def test_processes_of_torchrun_ignore_the_second_signal() -> None:
    with stop_on_interrupt("step", ignore_second=True) as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop()


@pytest.mark.slow
def test_training_answers_the_first_ctrl_c_and_prints_the_whole_resume_command(
    noisy_photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "my weights.safetensors"
    flags = "--steps 100000 --width 8 --depth 1 --batch 1 --patch 72 --device cpu".split()
    command = [sys.executable, "-m", "nsp_cli", "train", str(noisy_photos), "-o", str(target), *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        lines: list[str] = []
        while not lines or "step 100," not in lines[-1]:
            lines.append(run.stderr.readline())
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 130
    assert any(line.startswith("step 1, ") for line in lines)
    assert "min left" in lines[-1]
    assert "Stopping after this step" in rest
    assert f"nsp train {noisy_photos} -o '{target}' --resume" in rest


def test_files_of_nsp_are_not_photos(noisy_photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = find_photos([noisy_photos])
    previews = noisy_photos / "mine.run" / "previews"
    previews.mkdir(parents=True)
    (previews / "1.png").write_bytes(photos[0].read_bytes())
    assert find_photos([noisy_photos]) == photos
    assert find_photos([previews]) == [previews / "1.png"]  # named by the user
    with pytest.raises(NoInputError):
        find_photos([noisy_photos / "none"])
    for name in ("0_nsp.png", "0_nsp_2.png", "other_nsp.png"):  # the last one's photo is not there
        (noisy_photos / name).write_bytes(photos[0].read_bytes())
    assert find_photos([noisy_photos]) == sorted([*photos, noisy_photos / "other_nsp.png"])
    assert "2 results of nsp (_nsp) are left out" in capsys.readouterr().err

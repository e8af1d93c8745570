"""`examples/make_weights.py`, with one step for each model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nsp_cli.model.checkpoint import load_model, load_tensors
from nsp_cli.simulation.scene import sample_picture

SCRIPT = Path(__file__).parents[1] / "examples" / "make_weights.py"


def make(photos: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, photos, out, *more]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.mark.slow
def test_one_command_makes_weights_and_measures_them(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    picture = Image.fromarray(np.uint8(255 * sample_picture(400, 400, np.random.default_rng(0))))
    for name in ("clean/a.png", "train/dnd/a.png", "pairs/set/x_noisy.png", "pairs/set/x_clean.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(photos / name)
    made = make(photos, out, "fast-research", "fast-research-int8", "--steps", "1")
    assert made.returncode == 0, made.stderr
    assert [file.stem for file in sorted(out.glob("*.safetensors"))] == ["fast-research"]
    assert [file.name for file in sorted((out / "pairs").rglob("*.png"))] == ["a.png", "a.png"]
    assert "| fast-research " in made.stdout
    assert (out / "int8" / "fast-research-int8.state").is_file()
    weights = (out / "fast-research.safetensors").read_bytes()
    again = make(photos, out, "fast-research")
    assert again.returncode == 0, again.stderr
    assert "--resume" in again.stdout
    assert (out / "fast-research.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_the_student_and_the_rounded_weights_follow_those_that_they_are_made_of(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    picture = Image.fromarray(np.uint8(255 * sample_picture(490, 490, np.random.default_rng(0))))
    for name in ("clean/a.png", "train/dnd/a.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(photos / name)
    steps = ("nsp", "nsp-student-first", "nsp-student", "quick", "quick-int8", "fast-int8", "fast-int8-end")
    made = make(photos, out, *steps, "--steps", "1")
    assert made.returncode == 0, made.stderr
    assert f"--teacher {out / 'nsp.safetensors'}" in made.stdout
    assert f"--teacher {out / 'nsp-student-first.safetensors'}" in made.stdout
    assert len(list((out / "crops").iterdir())) == 2
    states = [file.relative_to(out).as_posix() for file in sorted(out.glob("*/*.state"))]
    rounded = ["int8/quick-int8.state", "stage1/fast-int8.state", "stage2/fast-int8.state"]
    assert states == [rounded[0], "scales/two-scale.state", *rounded[1:]]
    for file in ("quick.safetensors", "int8/quick.safetensors"):
        assert load_model(out / file)[1].network == "twoscale"
    assert f"--pool {out / 'scales/pool'}" in made.stdout
    assert made.stdout.index("nsp-student.safetensors") < made.stdout.index("fast-int8.state")


def stopped(photos: Path, out: Path, signal_: signal.Signals, *, after: str) -> tuple[int, str]:
    """Start the script, send a signal to it and to what it started once it has printed `after`; code and output."""
    command = [sys.executable, SCRIPT, photos, out, "fast", "fast-int8", "--steps", "3"]
    log = out.with_suffix(".log")
    with log.open("w") as file:
        script = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    end = time.monotonic() + 300
    while after not in log.read_text(encoding="utf-8"):
        assert script.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(script.pid, signal_)
    return script.wait(), log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_stopped_and_a_killed_run_go_on(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    picture = Image.fromarray(np.uint8(255 * sample_picture(400, 400, np.random.default_rng(0))))
    (photos / "clean").mkdir(parents=True)
    picture.save(photos / "clean" / "a.png")
    code, printed = stopped(photos, out, signal.SIGINT, after="step 1,")
    assert code == 130, printed
    assert "Stopped" in printed
    first = int(load_tensors(out / "fast.run" / "state.safetensors")[1]["step"])
    assert first < 3
    code, printed = stopped(photos, out, signal.SIGKILL, after="quantize_weights.py")
    assert code == -signal.SIGKILL
    assert "--resume" in printed
    assert int(load_tensors(out / "fast.run" / "state.safetensors")[1]["step"]) == 3
    weights = (out / "fast.safetensors").read_bytes()
    last = make(photos, out, "fast", "fast-int8", "--steps", "3")
    assert last.returncode == 0, last.stderr
    assert load_tensors(out / "stage1" / "fast-int8.state")[1]["step"] == "3"
    assert (out / "fast.safetensors").read_bytes() == weights


def test_a_step_that_there_is_not_is_refused(tmp_path: Path) -> None:
    refused = make(tmp_path, tmp_path / "out", "slow")
    assert refused.returncode == 2
    assert "slow" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_the_student_needs_its_first_training(tmp_path: Path) -> None:
    refused = make(tmp_path, tmp_path / "out", "nsp-student")
    assert refused.returncode == 2
    assert "begins with nsp-student-first; name both" in refused.stderr


def test_a_missing_folder_of_photos_is_named(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    refused = make(tmp_path, tmp_path / "out", "fast", "fast-research")
    assert refused.returncode == 2
    assert f"need the folder {tmp_path / 'train' / 'dnd'}" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")  # not on Windows
    (tmp_path / "clean").mkdir()
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = make(tmp_path, tmp_path, "fast")
    assert refused.returncode == 1
    assert "is in use by another make_weights.py" in refused.stderr

"""Imports run one way, and the heavy ones stay where they belong."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_run_one_way() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_repository_holds_no_path_of_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    marks = [b"/wo" + b"rk/", b"/ro" + b"ot/"]
    for name in tracked:
        data = (ROOT / name).read_bytes()
        assert not any(mark in data for mark in marks), name

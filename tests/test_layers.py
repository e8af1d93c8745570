"""Imports run one way, and the heavy ones stay where they belong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_imports_run_one_way() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_repository_holds_no_path_of_a_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("an archive of the sources has no list of the repository's files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name]
    assert Path(__file__) in tracked
    marks = [b"/wo" + b"rk/", b"/ro" + b"ot/"]
    assert [path for path in tracked if any(mark in path.read_bytes() for mark in marks)] == []

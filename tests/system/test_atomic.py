"""Temporary files of killed runs, and places that cannot be written to."""

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from nsp_cli.errors import OutputError
from nsp_cli.system import atomic

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _nothing_searched_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_searched", set())


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave(folder: Path, host: str, process: int | str) -> Path:
    path = folder / f".nsp-{host}-{process}-0123456789abcdef.tmp"
    path.write_bytes(b"half a photo")
    return path


def test_a_run_removes_what_dead_ones_left_in_its_own_folder(tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    dead, host = ended_process(), atomic._host()
    gone = leave(out, host, dead)
    kept = [
        leave(out, host, os.getppid()),
        leave(out, "another-host".replace("-", "_"), dead),
        leave(other, host, dead),
        leave(out, host, "x"),
    ]
    named = out / ".nsp-mine.tmp"
    named.write_bytes(b"a user's")
    atomic.write_atomically(b"whole", out / "a.png", overwrite=False)
    assert not gone.exists()
    assert all(path.exists() for path in [*kept, named])


def test_a_killed_process_leaves_a_name_that_the_next_one_recognises(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from nsp_cli.system import atomic\n"
        "atomic.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write_atomically(b'half', Path(sys.argv[1]), overwrite=False)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    atomic.write_atomically(b"whole", tmp_path / "b.png", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.parametrize("target", ["x" * 300 + ".png", "x/" * 3000 + "a.png", "file/a.png", "a\0b.png"])
def test_names_that_cannot_be_are_refused_before_the_work(target: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        atomic.check_place(tmp_path / target)


def test_a_read_only_folder_and_a_full_drive_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new" / "deep" / "a.png"
    atomic.check_place(target, 1000)
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: Usage(10**6, 10**6 - 500, 500))
    atomic.check_place(target)
    with pytest.raises(OutputError, match="needs 1,000 free bytes"):
        atomic.check_place(target, 1000)
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: Usage(0, 0, 0))  # some drives do not say
    atomic.check_place(target, 1000)
    monkeypatch.setattr(atomic.os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="without permission to write"):
        atomic.check_place(target)
    assert list(tmp_path.iterdir()) == []

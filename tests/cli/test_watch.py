"""`nsp watch`: files that are whole, and a run of the real command that Ctrl-C ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsp_cli.cli.batch.watching import Arrivals
from nsp_cli.cli.batch.work import Work
from tests.cli.test_commands import Weights, run


def test_a_file_is_taken_when_it_has_stopped_growing(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    works = [Work(photo, tmp_path / "out" / "a.png")]
    arrivals = Arrivals(2.0)
    assert arrivals.take(works, 0) == []
    assert not arrivals.is_waiting
    photo.write_bytes(b"1")
    assert arrivals.take(works, 1) == []
    assert arrivals.is_waiting
    photo.write_bytes(b"12")
    assert arrivals.take(works, 3.5) == []
    assert arrivals.take(works, 5) == []
    assert arrivals.take(works, 5.5) == works
    assert arrivals.take(works, 60) == []
    assert not arrivals.is_waiting
    photo.write_bytes(b"123")  # a new photo of the same name
    assert arrivals.take(works, 61) == []
    assert arrivals.take(works, 63) == works
    photo.unlink()
    assert arrivals.take(works, 70) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none", "out"), "There is no folder none"),
        ((".", "."), "never writes over its input"),
        ((".", "out", "--settle", "0"), "--settle must be above 0"),
        ((".", "out", "-f", "bmp"), "--format must be one of"),
        ((".", "out", "--dry-run"), "No such option: --dry-run"),
        ((".", "out", "-m", "none"), "none"),
    ],
)
def test_refusals(arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("watch", *arguments)
    assert (code != 0, sentence in said) == (True, True)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process can send to another")
@pytest.mark.slow
def test_photos_are_denoised_as_they_come_until_ctrl_c(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    card, out, page = tmp_path / "card", tmp_path / "out", tmp_path / "report.html"
    card.mkdir()
    data = [(noisy_photos / f"{number}.png").read_bytes() for number in range(3)]
    (card / "0.png").write_bytes(data[0])
    command = [sys.executable, "-m", "nsp_cli", "watch", str(card), str(out), "-m", str(weights()), "--settle", "0.3"]
    with subprocess.Popen([*command, "--report", str(page)], stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr is not None
        lines = [watch.stderr.readline(), watch.stderr.readline()]
        (card / "1.png").write_bytes(data[1][:99])
        with (card / "2.png").open("wb") as growing:
            for part in (data[2][:1000], data[2][1000:]):
                growing.write(part)
                growing.flush()
                time.sleep(0.2)
        while len(lines) < 4:
            lines.append(watch.stderr.readline())
            assert watch.poll() is None
        watch.send_signal(signal.SIGINT)
        rest = watch.stderr.read()
    assert "Watching" in lines[0]
    assert "0.png ->" in lines[1]
    assert sorted("error" in line for line in lines[2:]) == [False, True]
    assert "2 of 3 photos written, 1 failed" in rest
    assert watch.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "2.png"]
    assert page.read_text("utf-8").count("<article ") == 2

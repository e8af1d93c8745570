"""Batches with a stand-in for the network: order, bounds, stops, several processes, bad files."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status, as_json
from nsp_cli.cli.batch.plan import plan
from nsp_cli.cli.batch.runner import BatchContext, run
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import Reporter, plain
from nsp_cli.engine.options import DenoiseOptions, IfExists, OutputOptions
from nsp_cli.errors import BackendError, ModelError, NoInputError, UsageError
from nsp_cli.image import Frame, RawOptions, read, write
from nsp_cli.system import atomic

QUIET = Reporter(lambda _: None, lambda _: None, lambda: None)
RECIPE = Recipe("none", "0" * 64, {"strength": 100.0})

SCRIPT = """
import sys, time
from pathlib import Path
from nsp_cli.cli.batch import session
from nsp_cli.cli.batch.plan import plan
from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.engine.options import DenoiseOptions, IfExists, OutputOptions

def change(frame, reporter):
    print("begun", flush=True)
    time.sleep(float(sys.argv[3]))
    return frame

works, _ = plan(sys.argv[1:3])
options = DenoiseOptions(output=OutputOptions(if_exists=IfExists.SKIP))
sys.exit(session.run_batch(works, change, options, BatchOptions()))
"""


def same(frame: Frame, reporter: Reporter) -> Frame:
    return frame


def go(works: list[Work], change: Callable[[Frame, Reporter], Frame] = same, **options: object) -> list[Outcome]:
    outcomes: list[Outcome] = []
    if_exists = options.pop("if_exists", IfExists.SKIP)
    settings = DenoiseOptions(output=OutputOptions(if_exists=if_exists))
    assert run(works, BatchContext(change, settings, BatchOptions(**options)), QUIET, lambda: False, outcomes.append)
    return outcomes


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Twelve tiny photos; the shade of each is its number."""
    folder = tmp_path / "card"
    folder.mkdir()
    for i in range(12):
        write(Frame(np.full((8, 8, 3), i, np.uint8)), folder / f"{i:02}.png")
    return folder


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".nsp")]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_order_and_memory_whatever_the_threads_do(card: Path, tmp_path: Path, jobs: int) -> None:
    (card / "05.png").write_bytes(b"broken")
    works, many = plan([str(card), str(tmp_path / "out")])
    assert many
    alive, most, lock = 0, 0, threading.Lock()

    class Counted(Frame):
        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    def change(frame: Frame, reporter: Reporter) -> Frame:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        time.sleep(0.002 * (frame.pixels[0, 0, 0] % 3))
        return Counted(frame.pixels)

    outcomes = go(works, change, jobs=jobs)
    assert [o.source.name for o in outcomes] == [f"{i:02}.png" for i in range(12)]
    assert [o.status for o in outcomes].count(Status.FAILED) == 1
    assert outcomes[5].error is not None
    assert most <= jobs + 3  # those that wait for a writer, the one in hand, and what a loop's names still hold
    assert all((read(o.target).pixels == i).all() for i, o in enumerate(outcomes) if o.target)


def test_reading_and_writing_overlap_with_inference(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a photo is worked on, the next one is read, and the one before it is written."""
    from nsp_cli.cli.batch import runner

    works, _ = plan([str(card), str(tmp_path / "out")])
    names = [work.source.name for work in works]
    read_of, begun_on = ({name: threading.Event() for name in names} for _ in range(2))
    read_now, write_now = runner.read_photo, runner.write_photo

    def read_it(source: Path, format: str | None, raw: RawOptions) -> Frame:
        read_of[source.name].set()
        return read_now(source, format, raw)

    def write_it(
        result: Frame, source: Path, target: Path, output: OutputOptions
    ) -> tuple[Path | None, tuple[str, ...]]:
        following = names.index(target.name) + 1
        assert following == len(names) or begun_on[names[following]].wait(20)
        return write_now(result, source, target, output)

    def change(frame: Frame, reporter: Reporter) -> Frame:
        at = int(frame.pixels[0, 0, 0])
        begun_on[names[at]].set()
        assert at + 1 == len(names) or read_of[names[at + 1]].wait(20)
        return frame

    monkeypatch.setattr(runner, "read_photo", read_it)
    monkeypatch.setattr(runner, "write_photo", write_it)
    assert [o.status for o in go(works, change)] == [Status.WRITTEN] * 12


def test_an_error_of_the_device_ends_the_batch_and_keeps_what_is_done(card: Path, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    def change(frame: Frame, reporter: Reporter) -> Frame:
        if frame.pixels[0, 0, 0] == 4:
            raise BackendError("The device is gone.")
        return frame

    works, _ = plan([str(card), str(tmp_path / "out")])
    with pytest.raises(BackendError):
        run(works, BatchContext(change, DenoiseOptions(), BatchOptions()), QUIET, lambda: False, outcomes.append)
    assert [o.status for o in outcomes] == [Status.WRITTEN] * 4
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_the_model_is_opened_while_the_first_photo_is_read(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsp_cli.cli.batch import runner

    reading, opening = threading.Event(), threading.Event()
    read_photo = runner.read_photo

    def read_it(source: Path, format: str | None, raw: RawOptions) -> Frame:
        reading.set()
        assert opening.wait(20)
        return read_photo(source, format, raw)

    def open_model() -> None:
        opening.set()
        assert reading.wait(20)

    monkeypatch.setattr(runner, "read_photo", read_it)
    works, _ = plan([str(card), str(tmp_path / "out")])
    outcomes: list[Outcome] = []
    context = BatchContext(same, DenoiseOptions(), BatchOptions(), open_model=open_model)
    assert run(works, context, QUIET, lambda: False, outcomes.append)
    assert {o.status for o in outcomes} == {Status.WRITTEN}


def test_a_model_that_cannot_be_opened_ends_the_batch_before_a_photo_is_processed(card: Path, tmp_path: Path) -> None:
    def open_model() -> None:
        raise ModelError("There are no weights at x.")

    works, _ = plan([str(card), str(tmp_path / "out")])
    outcomes: list[Outcome] = []
    context = BatchContext(same, DenoiseOptions(), BatchOptions(), open_model=open_model)
    with pytest.raises(ModelError):
        run(works, context, QUIET, lambda: False, outcomes.append)
    assert not outcomes
    assert not (tmp_path / "out").exists()


def test_a_stopped_batch_goes_on_where_it_was(card: Path, tmp_path: Path) -> None:
    works, _ = plan([str(card), str(tmp_path / "out")])
    first: list[Outcome] = []
    context = BatchContext(same, DenoiseOptions(output=OutputOptions(if_exists=IfExists.SKIP)), BatchOptions())
    assert not run(works, context, QUIET, lambda: len(list(tmp_path.glob("out/*"))) >= 3, first.append)
    assert all(o.status is Status.WRITTEN for o in first)
    second = go(works)
    skipped = [o for o in second if o.status is Status.SKIPPED]
    assert {o.source for o in skipped} == {o.source for o in first}
    assert len(list((tmp_path / "out").iterdir())) == 12


def test_an_output_that_appears_meanwhile(card: Path, tmp_path: Path) -> None:
    for if_exists, status in (("skip", Status.SKIPPED), ("fail", Status.FAILED), ("rename", Status.WRITTEN)):
        target = tmp_path / f"{if_exists}.png"

        def change(frame: Frame, reporter: Reporter, target: Path = target) -> Frame:
            target.write_bytes(b"another run's")
            return frame

        (outcome,) = go([Work(card / "00.png", target)], change, if_exists=IfExists(if_exists))
        assert outcome.status is status
        assert target.read_bytes() == b"another run's"
    assert (tmp_path / "rename_2.png").exists()


def start(card: Path, out: Path, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(card), str(out), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_on_one_folder_do_not_harm_each_other(card: Path, tmp_path: Path) -> None:
    runs = [start(card, tmp_path / "out", 0.02) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], said
    assert [read(p).pixels[0, 0, 0] for p in sorted((tmp_path / "out").iterdir())] == list(range(12))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process can send another")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(card: Path, tmp_path: Path, times: int) -> None:
    out = tmp_path / "out"
    process = start(card, out, 1.0 if times == 1 else 10.0)  # seconds a photo
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "stopped before the end" in said or times == 2
    assert f"{2 - times} of 12 photos written" in said
    assert len(list(out.glob("*.png"))) == 2 - times
    assert not hidden(tmp_path)
    assert times == 1 or time.monotonic() - began < 0.9


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that a process can send another")
def test_ctrl_c_at_the_last_photo_stops_nothing(card: Path, tmp_path: Path) -> None:
    for path in sorted(card.iterdir())[1:]:
        path.unlink()
    process = start(card, tmp_path / "out", 0.5)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "stopped" in said) == (0, False)


def test_kill_leaves_only_whole_files(card: Path, tmp_path: Path) -> None:
    process = start(card, tmp_path / "out", 0.01)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.kill()
    process.communicate()
    for path in (tmp_path / "out").glob("*.png"):
        assert read(path).size == (8, 8)


def test_patterns_and_filters(card: Path, tmp_path: Path) -> None:
    (card / "previews").mkdir()
    for name in ("previews/a.jpg", "b.jpg"):
        write(Frame(np.zeros((8, 8, 3), np.uint8)), card / name)

    def names(paths: list[str], **options: object) -> list[str]:
        works, many = plan(paths, **options)  # type: ignore[arg-type]
        assert many
        return [work.target.relative_to(tmp_path).as_posix() for work in works]

    out = str(tmp_path / "out")
    assert names([f"{card}/0[12].png", out]) == ["out/01.png", "out/02.png"]
    assert names([f"{card}/**/*.jpg", out]) == ["out/b.jpg", "out/previews/a.jpg"]
    assert names([f"{card}/*.jpg"]) == ["card/b_nsp.jpg"]
    assert names([str(card), out], batch=BatchOptions(recursive=True, include=["*.JPG"])) == [
        "out/b.jpg",
        "out/previews/a.jpg",
    ]
    assert names([str(card), out], batch=BatchOptions(recursive=True, include=["*.jpg"], exclude=["previews"])) == [
        "out/b.jpg"
    ]
    assert names([str(card), out], batch=BatchOptions(exclude=["0*", "1*"])) == ["out/b.jpg"]
    with pytest.raises(NoInputError, match="No photo matches"):
        plan([f"{card}/*.nef", out])
    with pytest.raises(NoInputError, match="--include"):
        plan([str(card), out], batch=BatchOptions(include=["*.nef"]))
    with pytest.raises(UsageError, match="named twice"):
        plan([str(card / "b.jpg"), str(card / "b.jpg"), f"{out}/"])


def test_results_beside_photos_are_no_photos_next_time(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("00_nsp.png", "00_nsp_2.png", "other_nsp.png"):
        (card / name).write_bytes((card / "00.png").read_bytes())
    works, _ = plan([f"{card}/*.png"])
    assert {work.source.name for work in works} == {*(f"{i:02}.png" for i in range(12)), "other_nsp.png"}
    assert "2 results of an earlier run" in capsys.readouterr().err


def test_a_missing_file_of_a_list_is_one_failure(card: Path, tmp_path: Path) -> None:
    works, _ = plan([str(card / "00.png"), str(card / "none.png"), f"{tmp_path}/out/"])
    outcomes = go(works)
    assert [o.status for o in outcomes] == [Status.WRITTEN, Status.FAILED]
    assert "none.png" in (outcomes[1].error or "")


def bad_files(folder: Path) -> None:
    good = (folder / "00.png").read_bytes()
    (folder / "a.png").mkdir()
    (folder / "cut.png").write_bytes(good[:-20])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "suffix.jpg").write_bytes(good)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "nowhere.png").symlink_to("not there.png")
    (folder / "link.png").symlink_to("00.png")
    (folder / "naïve 日本 🙂.png").write_bytes(good)
    (folder / "two\nlines.png").write_bytes(good)
    if sys.platform == "linux":
        (folder / os.fsdecode(b"\xff\xfe.png")).write_bytes(good)
        os.mkfifo(folder / "pipe.png")


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_bad_files_fail_by_name_and_the_rest_is_done(card: Path, tmp_path: Path) -> None:
    bad_files(card)
    works, _ = plan([str(card), str(tmp_path / "out")])
    outcomes = {o.source.name: o for o in go(works)}
    failed = {name for name, o in outcomes.items() if o.status is Status.FAILED}
    pipes = {"pipe.png"} if sys.platform == "linux" else set[str]()
    assert failed == {"cut.png", "empty.jpg", "loop.png", "nowhere.png", *pipes}
    assert not pipes or "a pipe or a device" in (outcomes["pipe.png"].error or "")
    assert all("\n" not in (o.error or "") for o in outcomes.values())
    assert "a.png" not in outcomes
    assert (tmp_path / "out" / "naïve 日本 🙂.png").exists()
    assert read(tmp_path / "out" / "suffix.jpg").container == "jpeg"
    for outcome in outcomes.values():
        line = as_json(outcome, RECIPE)
        assert json.loads(line)["input"] == str(outcome.source)
        assert "\n" not in line
        plain(str(outcome.source)).encode("utf-8")
    assert not hidden(tmp_path)


def test_a_full_disk_is_a_sentence_for_each_photo(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    outcomes = go(plan([str(card), str(tmp_path / "out")])[0])
    assert {o.status for o in outcomes} == {Status.FAILED}
    assert "No space left" in (outcomes[0].error or "")
    assert list((tmp_path / "out").iterdir()) == []


def test_places_that_cannot_be_written_to(card: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    targets = [tmp_path / "file" / "x.png", tmp_path / f"{'x' * 300}.png", tmp_path / "x.bmp"]
    outcomes = go([Work(card / "00.png", target) for target in targets])
    assert all(o.status is Status.FAILED and "internal" not in (o.error or "") for o in outcomes), outcomes
    assert not hidden(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (card / "locked").mkdir()
    scan = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    works, _ = plan([str(card), str(tmp_path / "out")], batch=BatchOptions(recursive=True))
    monkeypatch.undo()
    outcomes = go(works)
    assert [o.source.name for o in outcomes if o.status is Status.FAILED] == ["locked"]
    assert len(outcomes) == 13


def test_a_surprise_is_one_photo_s_failure(card: Path, tmp_path: Path) -> None:
    def change(frame: Frame, reporter: Reporter) -> Frame:
        if frame.pixels[0, 0, 0] == 1:
            raise MemoryError
        if frame.pixels[0, 0, 0] == 2:
            raise ZeroDivisionError("oh")
        reporter.note("strength", 62.0)
        return replace(frame, warnings=())

    outcomes = go(plan([str(card), str(tmp_path / "out")])[0], change)
    assert [o.status is Status.FAILED for o in outcomes] == [False, True, True, *[False] * 9]
    assert "not enough memory" in (outcomes[1].error or "")
    assert "ZeroDivisionError: oh" in (outcomes[2].error or "")
    assert json.loads(as_json(outcomes[3], RECIPE))["settings"] == {"strength": 62.0}


def test_a_photo_is_let_go_when_it_is_worked_on(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo of 100 megapixels must not wait beside its result while that is written."""
    from nsp_cli.cli.batch import runner as module

    photos: list[weakref.ref[np.ndarray]] = []
    alive: list[bool] = []
    write_now = module.write_photo

    def change(frame: Frame, reporter: Reporter) -> Frame:
        photos.append(weakref.ref(frame.pixels))
        return Frame(frame.pixels.copy())

    def put(*args: object) -> object:
        time.sleep(0.1)  # the main thread goes on to the next photo, of which there is none
        alive.append(photos[0]() is not None)
        return write_now(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_photo", put)
    (outcome,) = go([Work(card / "00.png", tmp_path / "out.png")], change)
    assert outcome.status is Status.WRITTEN
    assert alive == [False]

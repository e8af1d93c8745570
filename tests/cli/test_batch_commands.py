"""The flags of batches through the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.cli.commands.export import export
from nsp_cli.cli.commands.train import find_photos
from nsp_cli.errors import NoInputError
from nsp_cli.image import Frame, encode, read
from nsp_cli.model.registry import sha256
from nsp_cli.model.spec import Precision
from tests.cli.test_commands import nsp, run

Weights = Callable[..., Path]


@pytest.mark.slow
def test_json_has_a_line_for_each_photo_and_stdout_has_nothing_else(
    weights: Weights, noisy_photos: Path, tmp_path: Path
) -> None:
    (noisy_photos / "bad.png").write_bytes(b"nothing")
    page = tmp_path / "report.html"
    done = nsp("denoise", noisy_photos, tmp_path / "out", "--json", "--report", page, "-j", 3, "-m", weights())
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [Path(line["input"]).name for line in lines] == ["0.png", "1.png", "2.png", "3.png", "4.png", "bad.png"]
    assert {line["model_sha256"] for line in lines} == {sha256(tmp_path / "tiny.safetensors")}
    for line in lines[:-1]:
        assert line["status"] == "written"
        assert Path(line["output"]).exists()
        assert line["seconds"] > 0
        assert line["megapixels"] == pytest.approx(0.010752)
        assert line["settings"]["strength"] == 100
    assert "bad.png" in lines[-1]["error"]
    assert page.read_text(encoding="utf-8").count("<article ") == 5
    assert b"5 of 6 photos written, 1 failed" in done.stderr


def test_a_dry_run_tells_sizes_and_an_estimate(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    (noisy_photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").write_bytes(b"mine")
    code, said = run("denoise", noisy_photos, tmp_path / "out", "--dry-run", "-m", weights())
    assert code == 0
    assert said.count("0.01 MP)") == 4
    assert "exists, would be skipped" in said
    assert "size unknown" in said
    code, said = run("denoise", noisy_photos, tmp_path / "out", "--dry-run", "--json", "-m", weights())
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines] == ["skipped", *["planned"] * 5]
    assert "5 of 6 photos would be written, 1 would be skipped, 1 of unknown size: 0.04 MP" in said
    assert "an estimate" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png"]


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff"])
@pytest.mark.slow
def test_a_pipe_is_byte_clean(weights: Weights, format: str) -> None:
    frame = Frame(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    done = nsp("denoise", "-", "-", "--json", "-m", weights(), stdin=encode(frame, format)[0])
    assert done.returncode == 0
    assert read(done.stdout).container == format
    assert encode(read(done.stdout), format)[0][:4] == done.stdout[:4]
    assert json.loads(done.stderr)["input"] == "-"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-", "--report", "x.html"], "A pipe has no --report"),
        (["0.png", "--report", "x.jpg"], "must end in .html"),
        (["0.png", "--report", "no-folder/x.html"], "a folder that exists"),
    ],
)
def test_flags_that_do_not_go_together(
    noisy_photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(noisy_photos)
    code, said = run("denoise", *arguments)
    assert (code, sentence in said) == (2, True)


def test_a_pattern_is_looked_up(
    weights: Weights, noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = weights()
    assert run("denoise", "photos/[01].png", "out", "-m", model, "--exclude", "1*")[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["0.png"]
    assert run("denoise", "photos/*.tif", "out", "-m", model)[0] == 3


@pytest.mark.slow
def test_two_processes_share_a_batch(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    (noisy_photos / "0a.png").write_bytes(b"nothing")
    out, page = tmp_path / "out", tmp_path / "report.html"
    arguments = ["denoise", str(noisy_photos), str(out), "--json", "--report", str(page), "-m", str(weights())]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "nsp_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    names = ["0.png", "0a.png", "1.png", "2.png", "3.png", "4.png"]
    assert sorted(Path(line["input"]).name for line in lines) == names, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [name for name in names if name != "0a.png"]
    assert done.stderr.count("5 of 6 photos written, 1 failed") == 1
    assert page.read_text(encoding="utf-8").count("<article ") == 5
    assert done.returncode == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2, 1)])
def test_tiny_and_narrow_photos(weights: Weights, tmp_path: Path, shape: tuple[int, int]) -> None:
    from PIL import Image

    out = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)).save(out, "PNG")
    (tmp_path / "in.png").write_bytes(out.getvalue())
    code, said = run("denoise", tmp_path / "in.png", "-m", weights(), "--device", "cpu")
    assert code == 0, said
    assert read(tmp_path / "in_nsp.png").size == shape
    code, said = run("sr", tmp_path / "in.png", tmp_path / "big.png", "-m", weights(), "--device", "cpu")
    assert code == 0, said
    assert read(tmp_path / "big.png").size == (2 * shape[0], 2 * shape[1])


@pytest.mark.slow
def test_pictures_that_are_not_read_are_counted_and_named(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    for name in ("a.JXL", "b.jxl", "c.psd", ".hidden.jxl"):
        (noisy_photos / name).write_bytes(b"not looked at")
    flags = ("-m", weights(), "--report", tmp_path / "r.html")
    said = nsp("denoise", noisy_photos, tmp_path / "out", *flags)
    sentence = "3 files are not read: 2 JPEG XL, 1 PSD. Export them as TIFF or JPEG first."
    assert said.returncode == 1
    assert said.stderr.decode().count(sentence) == 1
    assert "3 failed" in said.stderr.decode()
    assert sentence in (tmp_path / "r.html").read_text()
    dry = nsp("denoise", noisy_photos, tmp_path / "dry", "-m", weights(), "--dry-run", "--json")
    assert (dry.returncode, sentence in dry.stderr.decode()) == (1, True)
    rows = [json.loads(line) for line in dry.stdout.decode().splitlines()]
    assert sum(row["status"] == "failed" and "is not read" in row["error"] for row in rows) == 3
    alone = nsp("denoise", noisy_photos / "a.JXL", "-m", weights())
    assert (alone.returncode, "JPEG XL is not read; export it as TIFF or JPEG first" in alone.stderr.decode()) == (
        3,
        True,
    )


def test_the_photos_of_a_calibration_that_are_not_read_are_counted_and_named(
    weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.jxl").write_bytes(b"not looked at")
    with pytest.raises(NoInputError):
        export(tmp_path / "x.onnx", str(weights()), precision=Precision.INT8, calibrate=folder.parent)
    assert "1 file is not read: 1 JPEG XL" in capsys.readouterr().err


def test_every_command_counts_pictures_that_are_not_read(
    weights: Weights,
    noisy_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(noisy_photos)
    for name in ("a.jxl", "b.ppm", "c.PSD", "d.psd"):
        Path(name).write_bytes(b"not looked at")
    for name in ("x_noisy.png", "x_clean.png"):
        Path(name).write_bytes(Path("0.png").read_bytes())
    model, sentence = weights(), "4 files are not read: 2 PSD, 1 JPEG XL, 1 PNM. Export them as TIFF or JPEG first."
    for command in (
        ("denoise", "*", "-o", "out", "-m", model),
        ("inspect", ".", "-m", model),
        ("inspect", ".", "-m", model, "--json"),
        ("compare", model, tmp_path / "two.safetensors", ".", "-o", "x.html"),
        ("eval", ".", ".", "-m", model, "--json"),
    ):
        weights("two.safetensors")
        code, said = run(*command)
        assert (code, sentence in said) == (1, True), (command, said)
    assert len(find_photos([noisy_photos])) == 14  # with those in out
    assert capsys.readouterr().err.count(sentence) == 1
    assert run("inspect", "a.jxl")[0] == 3
    assert "JPEG XL is not read" in run("denoise", "*.jxl", "-o", "out")[1]

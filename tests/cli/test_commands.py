"""The real command line, end to end: what a person types, what they get, and the exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nsp_cli import __version__
from nsp_cli.image import Frame, read, write

Weights = Callable[..., Path]


def nsp(*arguments: object, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "nsp_cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
        timeout=240,
    )


def run(*arguments: object) -> tuple[int, str]:
    """The same in this process, because starting one takes seconds: the exit code and what was said."""
    from nsp_cli.cli.app import app
    from nsp_cli.cli.flag_names import with_flags
    from nsp_cli.errors import NspError

    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, NspError):
        return result.exception.exit_code, with_flags(str(result.exception))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['nsp', '{argument}']\n"
        "from nsp_cli.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'onnxruntime', 'rawpy', 'cv2', 'PIL', 'tifffile', 'skimage', 'safetensors'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert (__version__ if argument == "--version" else "denoise") in done.stdout


@pytest.mark.parametrize("given", ["", "2"])
def test_numpy_starts_no_threads_and_no_setting_stays(given: str) -> None:
    code = (
        "import os, sys\n"
        "sys.argv = ['nsp', '--version']\n"
        "from nsp_cli.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    tasks = '/proc/self/task'\n"
        "    count = len(os.listdir(tasks)) if os.path.isdir(tasks) else 1\n"
        "    print('numpy' in sys.modules, count, os.environ.get('OPENBLAS_NUM_THREADS', ''), file=sys.stderr)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    loaded, threads, setting = done.stderr.strip("\n").split(" ")
    assert (loaded, setting) == ("True", given)
    assert given or threads == "1"


def test_a_small_photo_is_denoised_without_libraries_that_it_does_not_need(tmp_path: Path) -> None:
    write(Frame(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), tmp_path / "a.png")
    code = (
        "import sys\n"
        "sys.argv = ['nsp', 'denoise', 'a.png', 'b.png']\n"
        "from nsp_cli.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'openvino', 'rawpy', 'cv2', 'tifffile', 'jinja2', 'ssl', 'scipy', 'numpy.ma'}\n"
        "    print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert read(tmp_path / "b.png").size == (64, 64)


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, nsp_cli; print('torch' in sys.modules, 'numpy' in sys.modules); nsp_cli.denoise; nsp_cli.Frame"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".jpg", np.uint8), (".tif", np.uint8), (".tif", np.uint16)],
)
def test_denoise_keeps_format_and_depth(weights: Weights, tmp_path: Path, suffix: str, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (41, 52, 3), dtype)
    write(Frame(pixels), tmp_path / f"in{suffix}")
    code, _ = run("denoise", tmp_path / f"in{suffix}", "-m", weights(), "--device", "cpu")
    assert code == 0
    result = read(tmp_path / f"in_nsp{suffix}")
    assert result.pixels.dtype == dtype
    assert result.pixels.shape == pixels.shape
    assert result.pixels.std() < pixels.std()


def test_strength_zero_gives_the_pixels_back(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    code, _ = run("denoise", noisy_photos / "0.png", tmp_path / "same.png", "--strength", 0, "-m", weights())
    assert code == 0
    assert np.array_equal(read(tmp_path / "same.png").pixels, read(noisy_photos / "0.png").pixels)


def test_a_folder_is_mirrored_past_a_bad_file(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    (noisy_photos / "sub").mkdir()
    (noisy_photos / "0.png").rename(noisy_photos / "sub" / "0.png")
    (noisy_photos / "bad.png").write_bytes(b"nothing")
    (noisy_photos / "notes.txt").write_text("not a photo")
    out = tmp_path / "out"
    done = nsp("denoise", noisy_photos, out, "-r", "-m", weights())
    assert done.returncode == 1
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == [
        "1.png",
        "2.png",
        "3.png",
        "4.png",
        "sub/0.png",
    ]
    assert done.stderr.count(b"error:") == 1
    assert b"bad.png" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"5 of 6 photos written, 1 failed" in done.stderr
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    assert nsp("denoise", noisy_photos, out, "-r", "-m", weights()).returncode == 1  # a second run skips what is there
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.png")} == before


def test_several_photos_go_into_a_folder(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    photos = sorted(noisy_photos.iterdir())[:3]
    assert run("denoise", *photos, f"{tmp_path}/new/", "-m", weights())[0] == 0
    assert len(list((tmp_path / "new").iterdir())) == 3
    assert run("denoise", *photos, "-m", weights())[0] == 0
    assert len(list(noisy_photos.glob("*_nsp.png"))) == 3


@pytest.mark.parametrize("mode", [None, "direct", "shuffle", "shuffle-denoise"])
def test_sr_doubles(weights: Weights, noisy_photos: Path, tmp_path: Path, mode: str | None) -> None:
    how = [] if mode is None else ["--mode", mode]
    assert run("sr", noisy_photos / "1.png", tmp_path / "big.png", "-s", 2, *how, "-m", weights())[0] == 0
    assert read(tmp_path / "big.png").size == (192, 224)


def test_a_pipe(weights: Weights, noisy_photos: Path) -> None:
    done = nsp("denoise", "-", "-", "-m", weights(), stdin=(noisy_photos / "2.png").read_bytes())
    assert done.returncode == 0
    assert read(done.stdout).size == (96, 112)


@pytest.mark.parametrize("if_exists", ["skip", "overwrite", "rename", "fail"])
def test_an_output_that_exists(weights: Weights, noisy_photos: Path, tmp_path: Path, if_exists: str) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    code, said = run("denoise", noisy_photos / "0.png", "-o", target, "--if-exists", if_exists, "-m", weights())
    assert code == (1 if if_exists == "fail" else 0), said
    assert (target.read_bytes() == b"mine") is (if_exists != "overwrite")
    assert (tmp_path / "out_2.png").exists() is (if_exists == "rename")
    assert not list(tmp_path.glob(".nsp*"))


def test_a_photo_is_never_written_over_itself(weights: Weights, noisy_photos: Path) -> None:
    photo = noisy_photos / "0.png"
    before = photo.read_bytes()
    for code, where in ((1, photo), (2, noisy_photos)):
        assert run("denoise", where, "-o", where, "--if-exists", "overwrite", "-m", weights())[0] == code
    assert photo.read_bytes() == before


def test_a_dry_run_writes_nothing(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    code, said = run("denoise", noisy_photos, tmp_path / "out", "--dry-run")
    assert code == 0
    assert said.count("->") == 5
    assert not (tmp_path / "out").exists()


def test_the_exit_codes_of_wrong_input(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    photo = noisy_photos / "0.png"
    cases = [
        (3, ["denoise", tmp_path / "none.png"], "There is no photo"),
        (3, ["denoise", tmp_path / "empty", tmp_path / "out"], "holds no photo"),
        (2, ["denoise", noisy_photos], "name the folder"),
        (1, ["denoise", photo, "-o", tmp_path / "out"], "has no suffix (for a folder write"),
        (2, ["denoise", photo, "--strength", 101], "101"),
        (2, ["denoise", photo, "-f", "bmp2"], "--format must be"),
        (4, ["denoise", photo, "-m", "nobody"], "There is no model 'nobody'"),
        (4, ["denoise", photo, "-m", tmp_path / "none.onnx"], "There is no model"),
        (4, ["denoise", photo, "--device", "cuda:77", "-m", weights()], "not available"),
        (2, ["sr", photo, "--scale", 3, "-m", weights()], "enlarges 2 times"),
        (2, ["export", tmp_path / "x.txt"], "must end in .onnx"),
        (3, ["eval", tmp_path / "empty", tmp_path / "empty"], "has a clean partner"),
        (3, ["train"], "no photo to train on"),
        (2, ["train", noisy_photos, "-o", tmp_path / "x.pt"], "must end in .safetensors"),
        (2, ["train", noisy_photos, "-o", tmp_path / "x.safetensors", "--preset", "none"], "--preset of nsp must be"),
    ]
    for code, arguments, sentence in cases:
        got, said = run(*arguments)
        assert (got, sentence in said) == (code, True), (arguments, got, said)


def test_an_error_is_one_sentence_on_stderr(tmp_path: Path) -> None:
    done = nsp("denoise", tmp_path / "none.png")
    assert done.returncode == 3
    assert done.stdout == b""
    assert done.stderr.decode().count("\n") == 1
    assert "Traceback" in nsp("denoise", tmp_path / "none.png", "--verbose").stderr.decode()


@pytest.mark.slow
def test_export_writes_a_model_that_denoise_runs(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    assert run("export", target, "-m", weights(), "--task", "direct")[0] == 0
    assert run("sr", noisy_photos / "0.png", tmp_path / "a.png", "-m", target, "--mode", "direct")[0] == 0
    assert run("export", target, "-m", weights())[0] == 2
    assert read(tmp_path / "a.png").size == (192, 224)


def test_eval_prints_a_table_and_json(weights: Weights, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(2):
        clean = np.full((40, 40, 3), 100 + 20 * i, np.uint8)
        noisy = np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).round().astype(np.uint8)
        write(Frame(clean), tmp_path / f"{i}_clean.png")
        write(Frame(noisy), tmp_path / f"{i}_noisy.png")
    code, text = run("eval", tmp_path, tmp_path, "-m", weights(), "--json")
    assert code == 0
    values = json.loads(text)
    assert [row["photo"] for row in values["photos"]] == ["0_noisy.png", "1_noisy.png"]
    assert values["mean"]["noisy_psnr"] == pytest.approx(20 * np.log10(255 / 20), abs=0.3)
    assert values["mean"]["seconds_per_megapixel"] > 0
    code, text = run("eval", tmp_path, tmp_path, "-m", weights(), "--strength", 0)
    assert code == 0
    assert "mean of 2" in text


@pytest.mark.slow
def test_eval_goes_on_past_broken_pairs_and_its_json_is_valid(weights: Weights, tmp_path: Path) -> None:
    for name, side in (("same", 40), ("size", 40), ("broken", 40)):
        write(Frame(np.full((side, side, 3), 90, np.uint8)), tmp_path / f"{name}_noisy.png")
        write(Frame(np.full((side, side, 3), 90, np.uint8)), tmp_path / f"{name}_clean.png")
    write(Frame(np.zeros((41, 40, 3), np.uint8)), tmp_path / "size_clean.png", overwrite=True)
    (tmp_path / "broken_clean.png").write_bytes(b"nothing")
    done = nsp("eval", tmp_path, tmp_path, "-m", weights(), "--strength", 0, "--json")
    assert done.returncode == 1

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    values = json.loads(done.stdout, parse_constant=refuse)
    assert [row["photo"] for row in values["photos"]] == ["same_noisy.png"]
    assert values["photos"][0]["psnr"] is None
    assert values["photos"][0]["ssim"] == pytest.approx(1)
    assert values["mean"]["psnr"] is None
    assert ["broken_clean.png" in f or "size_noisy.png" in f for f in values["failures"]] == [True, True]
    assert done.stderr.count(b"error:") == 2
    code, text = run("eval", tmp_path, tmp_path, "-m", weights())
    assert (code, "mean of 1" in text) == (1, True)


def test_models_lists_what_ships_and_what_is_the_user_s(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / "weights").mkdir(parents=True)
    weights().rename(tmp_path / "home" / "weights" / "mine.safetensors")
    monkeypatch.setenv("NSP_HOME", str(tmp_path / "home"))
    code, text = run("models", "--json")
    assert code == 0
    names = [model["name"] for model in json.loads(text)]
    assert names[-1] == "mine"
    assert sum("denoise" in model["default_for"] for model in json.loads(text)) == 1
    table = run("models")[1]
    assert "default of" in table
    assert "not NSP" in table
    rows = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "sr --mode shuffle or shuffle-denoise" in rows["nsp"]
    assert rows["fast-sr"].split()[1] == "sr"
    assert rows["quick"].split()[1] == "denoise"


def test_train_stop_and_resume(noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    flags = "--steps 4 --width 8 --depth 1 --batch 2 --patch 72 --save-every 2 --device cpu".split()
    assert run("train", noisy_photos, "-o", target, *flags)[0] == 0
    assert run("denoise", noisy_photos / "0.png", tmp_path / "out.png", "-m", target)[0] == 0
    code, said = run("train", noisy_photos, "-o", target, *flags)
    assert (code, "exists already" in said) == (2, True)
    code, said = run("train", noisy_photos, "-o", target, "--resume", "--lr", "1")
    assert (code, "leave out --lr" in said) == (2, True)
    assert run("train", noisy_photos, "-o", target, "--resume")[0] == 0
    assert run("train", noisy_photos, "-o", tmp_path / "new.safetensors", "--resume")[0] == 4


def test_train_takes_an_optimizer_by_name(noisy_photos: Path, tmp_path: Path) -> None:
    from nsp_cli.training import saved_settings

    target = tmp_path / "mine.safetensors"
    flags = "--from scratch --method nsp --steps 1 --width 8 --depth 1 --batch 2 --patch 72 --device cpu".split()
    code, said = run("train", noisy_photos, "-o", target, *flags, "--optimizer", "sgd")
    assert (code, "adam, adamw, muon" in said, target.exists()) == (2, True, False)
    assert run("train", noisy_photos, "-o", target, *flags, "--optimizer", "muon")[0] == 0
    assert saved_settings(tmp_path / "mine.run").optimizer == "muon"


def test_train_from_weights_takes_their_network(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    from nsp_cli.model.checkpoint import load_model

    target = tmp_path / "tuned.safetensors"
    flags = "--steps 1 --batch 1 --patch 72 --device cpu".split()
    assert run("train", noisy_photos, "-o", target, "--from", weights(), *flags)[0] == 0
    assert load_model(target)[1].network_args == {"width": 8, "depth": 1, "residual": True, "scale": 2}


def test_names_are_shown_as_they_are(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    """Square brackets are no markup, and a pipe cuts no name off."""
    name = f"IMG [edited] [red]{'x' * 150}.png"
    photo = (noisy_photos / "0.png").rename(tmp_path / name)
    assert name in run("inspect", photo, "-m", weights())[1]
    said = run("denoise", photo, "-o", tmp_path / "[out].png", "-m", weights())[1]
    assert f"{photo} -> {tmp_path / '[out].png'}" in said
    assert "[out].png exists" in run("denoise", photo, "-o", tmp_path / "[out].png", "-m", weights())[1]
    assert "[/y]" in run("export", tmp_path / "none" / "x[/y].onnx", "-m", weights())[1]


def test_preserve_keeps_the_time_of_the_photo(weights: Weights, tmp_path: Path) -> None:
    write(Frame(np.full((16, 16, 3), 90, np.uint8)), tmp_path / "in.png")
    os.utime(tmp_path / "in.png", (10**9, 10**9))
    for flags, kept in (([], False), (["--preserve", "--if-exists", "overwrite"], True)):
        code, _ = run("denoise", tmp_path / "in.png", "-m", weights(), "--device", "cpu", *flags)
        assert code == 0
        assert ((tmp_path / "in_nsp.png").stat().st_mtime == 10**9) == kept

"""`--like RESULT`, and the settings for cameras in config.toml."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_builders import build_exif
from raw_builders import build_dng, mosaic

from nsp_cli.cli.batch.profiles import Profiles, load_profiles
from nsp_cli.cli.batch.stamp import add_stamp, read_stamps
from nsp_cli.engine.options import BlendOptions, DenoiseOptions, ModelOptions, OutputOptions
from nsp_cli.errors import UsageError
from nsp_cli.image import Frame, Metadata, read, write
from nsp_cli.image.metadata.exif import camera_and_iso
from nsp_cli.image.probe import probe_exif
from nsp_cli.model.spec import Task
from tests.cli.test_commands import run

Weights = Callable[..., Path]
CONFIG = """
[camera."*"]
strength = 10
[camera."eos 5000"]
luma = 90
[camera."EOS 5000".iso."3200-6400"]
strength = 30
chroma = 20
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """ISO 6400 with an EOS 5000."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    write(Frame(noise, metadata=Metadata(exif=build_exif())), tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NSP_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "config.toml"


def _settings(*arguments: object) -> dict[str, object]:
    code, said = run("denoise", *arguments, "--json", "--quiet")
    assert code == 0, said
    return json.loads(said.splitlines()[-1])


def test_the_camera_and_its_iso_choose_settings_that_flags_win_over(
    photo: Path, config: Path, weights: Weights
) -> None:
    other = weights("other.safetensors")
    config.write_text(CONFIG + f"model = '{other}'\n")
    line = _settings(photo, photo.with_name("b.png"), "--luma", 100)
    found = line["settings"]
    assert isinstance(found, dict)
    assert (found["profile"], line["model"]) == ("EOS 5000, ISO 3200-6400", "other")
    assert (found["strength"], found["luma"], found["chroma"]) == (30, 100, 20)
    (stamp,) = read_stamps(photo.with_name("b.png"))
    assert (stamp.model, stamp.sha256) == ("other.safetensors", line["model_sha256"])
    assert [stamp.settings[name] for name in ("strength", "luma", "chroma")] == [30, 100, 20]
    line = _settings(photo, photo.with_name("c.png"), "-m", weights(), "--strength", 100)
    assert line["model"] == "tiny"
    assert line["settings"]["strength"] == 100  # pyright: ignore
    line = _settings(photo, photo.with_name("d.png"), "-m", weights(), "--no-config")
    assert "profile" not in line["settings"]  # pyright: ignore
    np.testing.assert_array_equal(
        read(photo.with_name("b.png")).pixels,
        read(_denoised(photo, "e.png", "-m", other, "--strength", 30, "--chroma", 20, "--no-config")).pixels,
    )


def test_a_dry_run_names_the_settings_and_models_of_config(photo: Path, config: Path, weights: Weights) -> None:
    other, folder = weights("other.safetensors"), photo.with_name("photos")
    config.write_text(CONFIG.replace("strength = 10", f"model = '{weights()}'") + f"model = '{other}'\n")
    folder.mkdir()
    photo.rename(folder / "a.png")
    write(Frame(np.zeros((24, 32, 3), np.uint8)), folder / "b.png")
    arguments = ("denoise", folder, photo.with_name("out"), "--luma", 100)
    code, said = run(*arguments, "--dry-run")
    assert code == 0
    assert "a.png (0.00 MP, settings of EOS 5000, ISO 3200-6400)" in " ".join(said.split()), said
    assert "b.png (0.00 MP, settings of *)" in " ".join(said.split())
    assert "with the models other (" in said
    assert ") and tiny (" in said
    _, said = run(*arguments, "--dry-run", "--json", "--quiet")
    _, wrote = run(*arguments, "--json", "--quiet")
    foreseen, done = ([json.loads(line) for line in text.splitlines()] for text in (said, wrote))
    for before, after in zip(foreseen, done, strict=True):
        assert (before["status"], after["status"]) == ("planned", "written")
        for name in ("model", "model_sha256", "settings"):
            assert before[name] == after[name]
    assert [line["model"] for line in done] == ["other", "tiny"]
    assert "profile" not in run(*arguments, "--dry-run", "--json", "--no-config", "--if-exists", "overwrite")[1]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_exif_is_read_without_the_pixels(photo: Path, suffix: str) -> None:
    path = photo.with_suffix(suffix)
    if path != photo:
        write(read(photo), path)
    assert camera_and_iso(probe_exif(path)) == ("EOS 5000", 6400)
    path.write_bytes(path.read_bytes()[:20])
    assert probe_exif(path) is None
    write(Frame(np.zeros((24, 32, 3), np.uint8)), path, overwrite=True)
    assert camera_and_iso(probe_exif(path)) == ("", None)
    assert probe_exif(path.with_name("none" + suffix)) is None


def test_exif_of_a_raw_file_is_that_of_its_own_directories(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.DNG"
    path.write_bytes(build_dng(mosaic(np.zeros((96, 128, 3))), exif=build_exif()))
    assert probe_exif(path) is not None
    assert camera_and_iso(probe_exif(path)) == camera_and_iso(read(path).metadata.exif) == ("EOS 5000", 6400)


def _denoised(photo: Path, name: str, *flags: object) -> Path:
    code, said = run("denoise", photo, photo.with_name(name), *flags)
    assert code == 0, said
    return photo.with_name(name)


@pytest.mark.parametrize(
    ("camera", "iso", "strength"),
    [
        ("EOS 5000", 6400, 30.0),
        ("EOS 5000", 6401, 100.0),
        ("EOS 5000", None, 100.0),
        ("Other", 6400, 10.0),
        ("", None, 10.0),
    ],
)
def test_names_come_before_patterns_and_ranges_first(
    config: Path, camera: str, iso: int | None, strength: float
) -> None:
    config.write_text(CONFIG)
    profile = next(one for one in load_profiles(config) if one.fits(camera, iso))
    assert profile.applied(DenoiseOptions(), ()).blend.strength == strength
    assert profile.applied(DenoiseOptions(), {"strength"}).blend.strength == 100


def test_no_file_and_no_exif(config: Path) -> None:
    assert load_profiles(config) == []
    config.write_text('[camera."X"]\nstrength = 1\n')
    assert Profiles(load_profiles(config)).find(None) is None
    assert Profiles(load_profiles(config)).find(b"damaged") is None


@pytest.mark.parametrize(
    ("text", "sentence"),  # the last line is the wrong one
    [
        ("\n[camera = 1", "cannot be read"),
        ("a = 1", "it holds tables such as"),
        ("camera = 1", "must be a table, got 1"),
        ('[camera."X"]\nstength = 1', "X: 'stength' is not one of model"),
        ('[camera."X"]\nstrength = "much"', "X: strength cannot be 'much'"),
        ('[camera."X"]\nluma = true', "X: luma cannot be True"),
        ('[camera."X"]\nnoise = 3\nluma = 300', "X: luma must be between 0 and 100, got 300"),
        ('[camera."X"]\nmodel = "gone"', "X: There is no model 'gone'"),
        ('[camera."X"]\nprecision = "fp1"', "X: precision is one of auto"),
        ('[camera."X".iso."high"]', "needs a range such as"),
    ],
)
def test_a_bad_file_gets_one_sentence(config: Path, photo: Path, text: str, sentence: str) -> None:
    config.write_text(text)
    code, said = run("denoise", photo, photo.with_name("b.png"))
    assert (code, sentence in said, str(config) in said) == (UsageError.exit_code, True, True), said
    assert f"line {len(text.splitlines())}" in said
    assert "\n" not in said.strip()
    assert not photo.with_name("b.png").exists()


def test_like_takes_the_settings_of_a_result(photo: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(weights().parent)
    flags = ("--strength", 40, "--luma", 70, "--chroma", 60)
    first = _denoised(photo, "b.jpg", "-m", "tiny.safetensors", *flags, "-q", 90)
    second = _denoised(photo, "c.jpg", "--like", first)
    assert first.read_bytes() == second.read_bytes()
    third = _denoised(photo, "d.jpg", "--like", first, "--luma", 100, "-q", 80)
    (stamp,) = read_stamps(third)
    assert (stamp.settings["strength"], stamp.settings["luma"], stamp.settings["quality"]) == (40, 100, 80)


def test_like_names_what_is_missing(photo: Path, weights: Weights, tmp_path: Path) -> None:
    out = photo.with_name("z.png")

    def said(like: Path, *command: object) -> str:
        code, sentence = run(*(command or ("denoise",)), photo, out, "--like", like)
        assert code in (1, 2, 3)
        assert not out.exists()
        return sentence

    assert "has no stamp of nsp" in said(photo)
    assert "cannot be read" in said(tmp_path / "none.jpg")
    gone = replace(DenoiseOptions(), model=ModelOptions(name=str(weights("gone.safetensors"))))
    write(add_stamp(read(photo), gone, {}), tmp_path / "gone.png")
    assert "made with the model gone.safetensors, which is not here" in said(tmp_path / "gone.png")
    assert "was made by nsp denoise" in said(tmp_path / "gone.png", "sr")
    enlarged = DenoiseOptions(task=Task.DIRECT, scale=2, blend=BlendOptions(50), output=OutputOptions())
    write(add_stamp(read(photo), enlarged, {}), tmp_path / "large.png")
    assert "was made by nsp sr" in said(tmp_path / "large.png")


def test_like_says_that_a_model_has_changed(
    photo: Path, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _denoised(photo, "b.png", "-m", weights("m.safetensors"))
    weights("n.safetensors", inputs=1).replace("m.safetensors")
    code, said = run("denoise", photo, tmp_path / "c.png", "--like", result)
    assert code == 0
    assert "made with another version of the model m.safetensors" in said


def test_a_report_starts_with_the_settings_of_config(photo: Path, config: Path, weights: Weights) -> None:
    other, page, folder = weights("other.safetensors"), photo.with_name("r.html"), photo.with_name("photos")
    config.write_text(CONFIG + f"model = '{other}'\n")
    arguments = ("denoise", "-m", weights(), "--report", page, "--if-exists", "overwrite")
    assert run(*arguments, photo)[0] == 0
    text = page.read_text("utf-8")
    assert _ends(text) == {"strength": "30.0", "luma": "100.0", "chroma": "20.0"}
    assert "nsp denoise IN -o OUT -m tiny --strength 30 --luma 100 --chroma 20</code>" in text
    assert run("denoise", "--report", page, "--if-exists", "overwrite", photo)[0] == 0
    assert "nsp denoise IN -o OUT -m other --strength 30 --luma 100 --chroma 20</code>" in page.read_text("utf-8")
    folder.mkdir()
    photo.rename(folder / "a.png")
    write(Frame(np.zeros((24, 32, 3), np.uint8)), folder / "b.png")
    assert run(*arguments, folder, "-o", photo.with_name("out"))[0] == 0
    text = page.read_text("utf-8")
    assert _ends(text) == {"strength": "30.0", "luma": "100.0", "chroma": "100.0"}  # the largest of both
    assert "nsp denoise IN -o OUT -m tiny</code>" in text  # config chooses for each photo


def _ends(page: str) -> dict[str, str]:
    """Return the sliders' ends, at which they start."""
    found = re.findall(r'name="(strength|luma|chroma)" min="0" max="([^"]*)" value="([^"]*)"', page)
    assert all(end == start for _, end, start in found)
    return {name: end for name, end, _ in found}

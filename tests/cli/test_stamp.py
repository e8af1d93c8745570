"""The stamp in a result's XMP: what it was made with, and how it is read back."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_builders import build_exif
from raw_builders import build_dng, mosaic

from nsp_cli import __version__
from nsp_cli.cli.batch import stamp
from nsp_cli.cli.batch.stamp import add_stamp, read_stamps
from nsp_cli.engine.options import BlendOptions, DenoiseOptions, ModelOptions
from nsp_cli.image import Frame, Metadata, read, write
from nsp_cli.model import registry
from tests.cli.test_commands import run

Weights = Callable[..., Path]
OPTIONS = DenoiseOptions(blend=BlendOptions("auto", 80))
PIXELS = np.full((16, 24, 3), 90, np.uint8)


def _exiftool(path: Path) -> dict[str, str]:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not on PATH")
    done = subprocess.run(["exiftool", "-j", "-a", "-warning", "-XMP:all", str(path)], capture_output=True, check=True)
    return json.loads(done.stdout)[0]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_every_format_carries_a_stamp_that_exiftool_shows(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a.{suffix}"
    frame = add_stamp(Frame(PIXELS), OPTIONS, {"strength": 71.5})
    assert write(frame, target) == ()
    (found,) = read_stamps(target)
    default = registry.resolve()
    assert (found.version, found.model, found.sha256) == (__version__, "quick", registry.sha256(default))
    assert found.settings == {
        **{"task": "denoise", "precision": "auto", "strength": "auto", "luma": 80, "chroma": 100, "quality": 95}
    }
    assert found.measured == {"strength": 71.5}
    shown = _exiftool(target)
    assert (shown["HistoryAction"], shown["HistorySoftwareAgent"]) == ("filtered", f"nsp {__version__}")
    assert json.loads(shown["HistoryParameters"])["sha256"] == found.sha256
    assert "Warning" not in shown


def test_results_are_stamped_again_and_read_back(weights: Weights, tmp_path: Path) -> None:
    photo, first, second = tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "c.tif"
    write(Frame(PIXELS), photo)
    assert run("denoise", photo, first, "-m", weights(), "--strength", 40, "--luma", 70)[0] == 0
    assert run("denoise", first, second, "-m", weights(), "--strength", "auto")[0] == 0
    one, two = read_stamps(second)
    assert (one.model, one.settings["strength"], one.settings["luma"], one.measured) == ("tiny.safetensors", 40, 70, {})
    assert two.settings["strength"] == "auto"
    assert set(two.measured) == {"strength", "noise"}
    assert str(tmp_path) not in repr(read(second).metadata.xmp)
    code, said = run("inspect", second, "-m", weights(), "--json")
    assert code == 0
    rows = json.loads(said)["photos"][0]["stamps"]
    assert [row["settings"]["strength"] for row in rows] == [40, "auto"]
    assert rows[0]["sha256"] == registry.sha256(weights())
    _, said = run("inspect", second, "-m", weights())
    assert f"c.tif was made by nsp {__version__}, model tiny.safetensors" in said


@pytest.mark.parametrize("flag", ["--no-stamp", "--no-metadata"])
def test_no_stamp(flag: str, weights: Weights, tmp_path: Path) -> None:
    write(Frame(PIXELS), tmp_path / "a.png")
    assert run("denoise", tmp_path / "a.png", tmp_path / "b.png", "-m", weights(), flag)[0] == 0
    assert read(tmp_path / "b.png").metadata.xmp is None


def test_a_linear_dng_carries_a_stamp(weights: Weights, tmp_path: Path) -> None:
    linear = np.random.default_rng(0).uniform(0.2, 0.4, (40, 48, 3))
    (tmp_path / "a.dng").write_bytes(build_dng(mosaic(linear), exif=build_exif()))
    target = tmp_path / "b.dng"
    assert run("denoise", tmp_path / "a.dng", target, "-m", weights(), "--format", "dng")[0] == 0
    assert [one.settings["raw_wb"] for one in read_stamps(target)] == ["camera"]
    assert _exiftool(target)["HistorySoftwareAgent"] == f"nsp {__version__}"


def test_a_file_of_a_model_is_named_without_its_folder(weights: Weights, tmp_path: Path) -> None:
    frame = add_stamp(Frame(PIXELS), replace(OPTIONS, model=ModelOptions(name=str(weights("mine.safetensors")))), {})
    write(frame, tmp_path / "a.png")
    assert read_stamps(tmp_path / "a.png")[0].model == "mine.safetensors"


def test_xmp_that_cannot_be_read_stays_and_is_named() -> None:
    frame = Frame(PIXELS, metadata=Metadata(xmp=b"<no xmp"))
    stamped = add_stamp(frame, OPTIONS, {})
    assert stamped.metadata == frame.metadata
    assert stamped.warnings == ("The settings are not stamped into XMP: its packet is full or cannot be read.",)


def test_entries_of_other_programs_and_damaged_ones_are_no_stamps(tmp_path: Path) -> None:
    xmp = None
    for agent, parameters in (("Other 1.0", "{}"), ("nsp 0.1", "[1]"), ("nsp 0.1", "{"), ("nsp 0.1", '{"model": 1}')):
        xmp = stamp.add_event(xmp, stamp.Event("saved", agent, parameters))
    write(Frame(PIXELS, metadata=Metadata(xmp=xmp)), tmp_path / "a.png")
    assert read_stamps(tmp_path / "a.png") == []

"""`nsp denoise IMG.DNG`: what a photographer types, and the file that comes out."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_builders import build_exif
from PIL import Image
from raw_builders import behind_a_preview, build_dng, mosaic, moved_to_the_end

from nsp_cli.image import Frame, output_suffix, read, write
from nsp_cli.image.probe import probe_size
from tests.cli.test_commands import nsp, run

Weights = Callable[..., Path]


@pytest.fixture
def card(tmp_path: Path) -> Path:
    folder = tmp_path / "card"
    folder.mkdir()
    linear = np.random.default_rng(0).uniform(0.2, 0.4, (40, 48, 3))
    (folder / "IMG_1.DNG").write_bytes(build_dng(mosaic(linear), exif=build_exif(), orientation=6))
    return folder


def test_a_raw_becomes_a_16_bit_tiff_beside_it(card: Path, weights: Weights) -> None:
    photo = card / "IMG_1.DNG"
    assert run("denoise", photo, "-m", weights())[0] == 0
    result = card / "IMG_1_nsp.tif"
    page = tifffile.imread(result)
    assert (page.dtype, page.shape) == (np.uint16, (48, 40, 3))
    with Image.open(result) as image:
        assert image.getexif().get_ifd(0x8769)[0xA434] == "Lens 50mm f/1.8"


def test_format_and_settings(card: Path, weights: Weights, tmp_path: Path) -> None:
    photo, model = card / "IMG_1.DNG", weights()
    for format, dtype in (("tiff", "uint16"), ("png", "uint16"), ("jpeg", "uint8")):
        assert run("denoise", photo, "-m", model, "--format", format)[0] == 0
        assert read(card / f"IMG_1_nsp.{format}").pixels.dtype == dtype
    plain = read(photo).pixels
    assert run("denoise", photo, tmp_path / "a.png", "-m", model, "--strength", 0)[0] == 0
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, plain)
    changed = ("--raw-wb", "daylight", "--raw-exposure", "-1", "--strength", 0)
    assert run("denoise", photo, tmp_path / "b.png", "-m", model, *changed)[0] == 0
    assert read(tmp_path / "b.png").pixels.mean() < 0.8 * plain.mean()
    assert run("denoise", photo, tmp_path / "c.png", "-m", model, "--raw-exposure", 9)[0] == 2
    assert run("denoise", photo, tmp_path / "c.png", "-m", model, "--raw-wb", "moon")[0] == 2


def test_a_folder_goes_on_past_a_broken_raw(card: Path, weights: Weights, tmp_path: Path) -> None:
    (card / "IMG_2.NEF").write_bytes((card / "IMG_1.DNG").read_bytes()[:3000])
    code, said = run("denoise", card, tmp_path / "out", "-m", weights())
    assert code == 1
    assert "IMG_2.NEF" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["IMG_1.tif"]


def test_a_dry_run_counts_what_the_sensor_has_and_not_the_preview(card: Path, weights: Weights, tmp_path: Path) -> None:
    linear = np.random.default_rng(0).random((300, 400, 3))
    for name in ("IMG_2.NEF", "IMG_3 é.dng"):
        (card / name).write_bytes(behind_a_preview(build_dng(mosaic(linear), orientation=6)))
        assert probe_size(card / name) == (300, 400)
    (card / "IMG_4.cr2").write_bytes(b"II*\0nothing")
    code, said = run("denoise", card, tmp_path / "out", "-m", weights(), "--dry-run")
    assert code == 0
    assert said.count("0.12 MP)") == 2
    assert "4 of 4 photos would be written, 1 of unknown size: 0.24 MP" in said


def test_a_dry_run_names_photos_whose_header_shows_that_they_cannot_be_read(
    card: Path, weights: Weights, tmp_path: Path
) -> None:
    (card / "short.dng").write_bytes(moved_to_the_end(build_dng(mosaic(np.full((64, 96, 3), 0.3))))[:-100])
    write(Frame(np.zeros((64, 64, 3), np.uint8)), card / "whole.tif")
    (card / "cut.tif").write_bytes((card / "whole.tif").read_bytes()[:-100])
    tifffile.imwrite(card / "lab.tif", np.zeros((64, 64, 3), np.uint8), photometric="cielab")
    (card / "empty.tif").write_bytes(b"")
    (card / "text.jpg").write_bytes(b"no picture")
    code, planned = run("denoise", card, tmp_path / "out", "-m", weights(), "--dry-run")
    assert (code, "2 of 7 photos would be written, 5 would fail" in planned) == (1, True)
    _, done = run("denoise", card, tmp_path / "out", "-m", weights())
    for name in ("short.dng", "cut.tif", "lab.tif", "empty.tif", "text.jpg"):
        (line,) = (line for line in planned.splitlines() if line.startswith(f"{card / name}: would fail: "))
        assert line.removeprefix(f"{card / name}: would fail: ") in done  # the sentence of the work itself
    assert "would fail: the RAW file is cut off: 100 bytes are missing" in planned


@pytest.mark.slow
def test_a_raw_through_a_pipe_is_a_tiff(card: Path, weights: Weights) -> None:
    done = nsp("denoise", "-", "-m", weights(), stdin=(card / "IMG_1.DNG").read_bytes())
    assert done.returncode == 0, done.stderr
    assert tifffile.imread(BytesIO(done.stdout)).dtype == np.uint16


def test_output_suffix() -> None:
    assert [output_suffix(suffix) for suffix in (".JPG", ".NEF", ".cr3", ".tiff", ".txt")] == [
        ".JPG",
        ".tif",
        ".tif",
        ".tiff",
        ".txt",
    ]

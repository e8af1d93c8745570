"""`nsp denoise --in-place`: the photo is replaced in one step and kept beside it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.cli.batch import in_place
from nsp_cli.engine.options import OutputOptions
from nsp_cli.errors import InputError, OutputError
from nsp_cli.image import Frame, read, write
from tests.cli.test_commands import run

Weights = Callable[..., Path]


def _photo(path: Path, dtype: type = np.uint16) -> Path:
    high = np.iinfo(dtype).max
    write(Frame(np.random.default_rng(0).integers(0, high, (24, 32, 3), dtype, endpoint=True)), path)
    return path


def test_the_photo_is_replaced_in_its_depth_and_kept_beside_it(weights: Weights, tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.tif")
    photo.chmod(0o640)
    before = photo.read_bytes()
    for _ in range(2):
        code, said = run("denoise", "--in-place", photo, "-m", weights())
        assert code == 0, said
    after = read(photo)
    assert (after.container, after.pixels.dtype, after.size) == ("tiff", np.uint16, (24, 32))
    assert photo.read_bytes() != before
    assert photo.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.tif.orig").read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("a*")) == ["a.tif", "a.tif.orig", "a.tif.orig2"]


def test_no_backup_and_several_photos(weights: Weights, tmp_path: Path) -> None:
    photos = [_photo(tmp_path / "a.png"), _photo(tmp_path / "b.jpg", np.uint8)]
    before = [photo.read_bytes() for photo in photos]
    code, _ = run("denoise", "--in-place", "--no-backup", *photos, "-m", weights())
    assert code == 0
    assert all(photo.read_bytes() != data for photo, data in zip(photos, before, strict=True))
    assert not list(tmp_path.glob("*.orig*"))


def test_a_drive_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = _photo(tmp_path / "a.png")
    before = photo.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    frame = read(photo)
    monkeypatch.setattr(os, "link", refuse)
    in_place.replace_photo(frame.with_pixels(255 - frame.pixels), photo, OutputOptions(in_place=True))
    assert (tmp_path / "a.png.orig").read_bytes() == before


def test_a_result_that_cannot_be_written_leaves_the_photo_alone(tmp_path: Path) -> None:
    photo = _photo(tmp_path / "a.png")
    before = photo.read_bytes()
    bad = Frame(np.full((2, 2, 3), np.nan, np.float32))
    with pytest.raises(OutputError):
        in_place.replace_photo(bad, photo, OutputOptions(in_place=True))
    assert photo.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_raw_files_and_other_formats_are_refused(weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "a.nef").write_bytes(b"II*\0")
    (tmp_path / "a.dng").write_bytes(b"II*\0")
    for name in ("a.nef", "a.dng"):
        code, said = run("denoise", "--in-place", tmp_path / name, "-m", weights())
        assert code == 3, said
        assert "a RAW file is never replaced" in said
    _photo(tmp_path / "b.png").rename(tmp_path / "b.tif")
    code, said = run("denoise", "--in-place", tmp_path / "b.tif", "-m", weights())
    assert code == 1
    assert "is not replaced: its format is PNG, not that of its suffix" in said
    with pytest.raises(InputError, match="its format is a RAW file"):
        in_place.refuse_other_format("raw", tmp_path / "b.tif")
    code, said = run("denoise", "--in-place", tmp_path / "b.tif", "-m", weights(), "--dry-run")
    assert code == 1
    assert "would fail" in said
    assert "is not replaced: its format is PNG, not that of its suffix" in said
    assert not list(tmp_path.glob("*.orig"))


@pytest.mark.parametrize(
    "arguments",
    [["a.png", "-o", "b.png"], ["a.png", "-f", "jpeg"], ["-"], ["."], ["a.png", "./a.png"]],
)
def test_what_does_not_go_with_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(_photo(tmp_path / "a.png").parent)
    before = (tmp_path / "a.png").read_bytes()
    assert run("denoise", "--in-place", *arguments)[0] == 2
    assert (tmp_path / "a.png").read_bytes() == before


def test_no_backup_needs_in_place(tmp_path: Path) -> None:
    assert run("denoise", "--no-backup", _photo(tmp_path / "a.png"))[0] == 2

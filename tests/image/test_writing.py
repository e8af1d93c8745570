"""A file appears whole or not at all, and what a format cannot hold is said."""

import errno
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsp_cli.errors import OutputError, TargetExistsError
from nsp_cli.image import Frame, Metadata, encode, read, write
from nsp_cli.system import atomic

FrameMaker = Callable[..., Frame]


def test_an_existing_file_is_not_replaced(tmp_path: Path, make_frame: FrameMaker) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"a\.png exists already"):
        write(make_frame(), target)
    assert target.read_bytes() == b"precious"
    write(make_frame(), target, overwrite=True)
    assert read(target).size == make_frame().size
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def no_hard_links(monkeypatch: pytest.MonkeyPatch, *, exclusive_rename: bool = True) -> None:
    """As on a camera's card; without an exclusive rename as on the oddest network drive."""
    monkeypatch.setattr(os, "link", fail)
    if not exclusive_rename:
        monkeypatch.setattr(atomic, "_exclusive_rename", lambda: fail)


@pytest.mark.parametrize("hard_links", [True, False])
def test_not_even_in_a_race(
    hard_links: bool, tmp_path: Path, make_frame: FrameMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hard_links:
        no_hard_links(monkeypatch)
    target, frames = tmp_path / "a.png", [make_frame(seed=seed) for seed in range(8)]
    monkeypatch.setattr(Path, "exists", lambda _: False)  # all of them find the name free
    written: list[int] = []

    def work(index: int) -> None:
        try:
            write(frames[index], target)
            written.append(index)
        except OutputError:
            pass

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    np.testing.assert_array_equal(read(target).pixels, frames[written[0]].pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(sys.platform not in ("linux", "darwin", "win32"), reason="no exclusive rename is known here")
def test_the_exclusive_rename_renames_and_never_replaces(tmp_path: Path) -> None:
    rename, names = atomic._exclusive_rename(), [tmp_path / name for name in ("ä", "b 写", "c")]
    names[0].write_bytes(b"new")
    names[2].write_bytes(b"precious")
    rename(names[0], names[1])
    assert (names[0].exists(), names[1].read_bytes()) == (False, b"new")
    with pytest.raises(FileExistsError):
        rename(names[1], names[2])
    assert (names[1].read_bytes(), names[2].read_bytes()) == (b"new", b"precious")
    with pytest.raises(FileNotFoundError):
        rename(names[0], tmp_path / "d")


@pytest.mark.parametrize("exclusive_rename", [True, False])
def test_without_hard_links_a_kill_leaves_a_whole_file_or_none(
    exclusive_rename: bool, tmp_path: Path, make_frame: FrameMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is looked for before every line that the publishing runs: a kill can come at no other moment."""
    no_hard_links(monkeypatch, exclusive_rename=exclusive_rename)
    target, sizes = tmp_path / "a.png", set[int]()

    def look(*_: object) -> Callable[..., object]:
        sizes.add(target.stat().st_size if target.exists() else -1)
        return look

    data = encode(make_frame(), "png")[0]
    sys.settrace(look)
    try:
        atomic.write_atomically(data, target, overwrite=False)
    finally:
        sys.settrace(None)
    assert sizes == {-1, len(data)}
    with pytest.raises(TargetExistsError):
        atomic.write_atomically(data, target, overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("steps", "overwrite", "links"),
    [
        (["os.fsync"], False, True),
        (["os.fsync"], True, True),
        (["pathlib.Path.replace"], True, True),
        (["pathlib.Path.replace"], False, False),
    ],
)
def test_a_failed_write_leaves_nothing_behind(
    steps: list[str],
    overwrite: bool,
    links: bool,
    tmp_path: Path,
    make_frame: FrameMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not links:
        no_hard_links(monkeypatch, exclusive_rename=False)
    for step in steps:
        monkeypatch.setattr(step, fail)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        write(make_frame(), tmp_path / "a.tif", overwrite=overwrite)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing_behind(
    tmp_path: Path, make_frame: FrameMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(make_frame(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_and_a_folder_as_target_are_errors(tmp_path: Path, make_frame: FrameMaker) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write(make_frame(), tmp_path / "missing" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(OutputError, match=r"b\.png"):
        write(make_frame(), tmp_path / "b.png", overwrite=True)
    assert list((tmp_path / "b.png").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


def test_overwriting_a_link_keeps_the_link(tmp_path: Path, make_frame: FrameMaker) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    link = tmp_path / "link.png"
    link.symlink_to("real.png")
    write(make_frame(), link, overwrite=True)
    assert link.is_symlink()
    assert read(tmp_path / "real.png").size == make_frame().size


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_new_file_has_the_usual_permissions(tmp_path: Path, make_frame: FrameMaker) -> None:
    (tmp_path / "plain").touch()
    write(make_frame(), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("name", "dtype", "alpha", "expected"),
    [
        ("jpeg", "uint16", True, ["JPEG holds 8 bits a channel: 16-bit is reduced.", "transparency is dropped"]),
        ("webp", "uint16", True, ["WebP holds 8 bits a channel: 16-bit is reduced."]),
        ("png", "float32", False, ["PNG holds 16 bits a channel: 32-bit float is reduced, and values outside 0 to 1"]),
        ("avif", "uint16", False, ["AVIF holds 8 bits a channel"]),
        ("tiff", "float32", True, []),
        ("png", "uint16", True, []),
    ],
)
def test_what_does_not_fit_is_said(
    name: str, dtype: str, alpha: bool, expected: list[str], make_frame: FrameMaker
) -> None:
    frame = make_frame(dtype, 3, alpha)
    data, warnings = encode(frame, name)
    assert len(warnings) == len(expected)
    for warning, part in zip(warnings, expected, strict=True):
        assert part in warning
    assert (read(data).alpha is not None) == (alpha and name != "jpeg")


def test_16_bits_are_rounded_to_8(make_frame: FrameMaker) -> None:
    frame = make_frame("uint16")
    found = read(encode(frame, "webp", quality=100)[0])
    np.testing.assert_array_equal(found.pixels, np.rint(frame.pixels / 257).astype(np.uint8))


@pytest.mark.parametrize("name", ["webp", "avif"])
def test_grey_that_becomes_rgb_is_said(name: str, make_frame: FrameMaker) -> None:
    data, warnings = encode(make_frame("uint8", 1, True), name, quality=100)
    assert any("equal channels" in warning for warning in warnings)
    assert read(data).pixels.shape[2] == 3


def test_metadata_without_a_place_is_said(metadata: Metadata, make_frame: FrameMaker) -> None:
    frame = make_frame(metadata=metadata)
    for name in ("png", "webp", "avif"):
        assert [warning for warning in encode(frame, name)[1] if "no place for IPTC" in warning]
    big = replace(metadata, xmp=b"<x/>" * 20_000, exif=metadata.exif, iptc=b"\x1c" * 70_000)
    warnings = encode(make_frame(metadata=big), "jpeg")[1]
    assert [warning.split()[0] for warning in warnings] == ["XMP", "IPTC"]


def test_a_tiff_above_4_gb_says_that_it_loses_exif(
    metadata: Metadata, make_frame: FrameMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsp_cli.image.codecs.tiff_writer._CLASSIC_LIMIT", 10)
    frame = make_frame("uint16", alpha=True, metadata=metadata)
    data, warnings = encode(frame, "tiff")
    assert data[:4] == b"II+\0"
    assert len(warnings) == 1
    found = read(data)
    np.testing.assert_array_equal(found.channels(), frame.channels())
    assert (found.metadata.icc, found.metadata.iptc) == (metadata.icc, metadata.iptc)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.gif", {}, "the suffix must be one of .png"),
        ("a", {}, "got none"),
        ("a.jpg", {"quality": 0}, "`quality` must be from 1 to 100, got 0"),
    ],
)
def test_what_cannot_be_written_is_an_error(
    name: str, options: dict[str, Any], message: str, tmp_path: Path, make_frame: FrameMaker
) -> None:
    with pytest.raises(OutputError, match=message):
        write(make_frame(), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_too_wide_for_the_format(make_frame: FrameMaker) -> None:
    with pytest.raises(OutputError, match=r"at most 16,383 pixels a side fit in a WebP, got 16384 x 1"):
        encode(make_frame(size=(1, 16_384)), "webp")


def test_not_a_number_is_not_written(make_frame: FrameMaker) -> None:
    frame = make_frame("float32")
    frame.pixels[3, 4, 1] = np.nan
    with pytest.raises(OutputError, match="NaN or infinite"):
        encode(frame, "tiff")


def test_an_unknown_format_is_an_error(make_frame: FrameMaker) -> None:
    with pytest.raises(OutputError, match="`format` must be one of png, jpeg"):
        encode(make_frame(), "bmp")

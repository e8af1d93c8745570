"""Files that replace others, or are to be like their photos."""

import os
import stat
from pathlib import Path

import pytest

from nsp_cli.system.atomic import write_atomically

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tag(path: Path, value: bytes) -> bool:
    """Set an extended attribute; False where the drive has none."""
    try:
        os.setxattr(path, "user.nsp.test", value)
    except (AttributeError, OSError):
        return False
    return True


@POSIX
@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_leaves_its_mode_and_attributes(wanted: int, tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    tagged = tag(target, b"red")
    target.chmod(wanted)
    os.utime(target, (1e9, 1e9))
    write_atomically(b"new", target, overwrite=True)
    assert target.read_bytes() == b"new"
    assert mode(target) == wanted
    assert target.stat().st_mtime > 1e9 + 1, "written now"
    assert not tagged or os.getxattr(target, "user.nsp.test") == b"red"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@POSIX
def test_nobody_else_can_read_a_private_photo_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    target.chmod(0o600)
    seen: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append(stat.S_IMODE(os.fstat(handle).st_mode)))
    write_atomically(b"new", target, overwrite=True)
    assert seen[0] == 0o600


@POSIX
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_result_like_its_photo(overwrite: bool, tmp_path: Path) -> None:
    photo, target = tmp_path / "a.png", tmp_path / "b.png"
    photo.write_bytes(b"photo")
    photo.chmod(0o604)
    tagged = tag(photo, b"red")
    os.utime(photo, ns=(10**18, 10**18 + 5000))
    write_atomically(b"new", target, overwrite=overwrite, attributes_of=photo)
    assert mode(target) == 0o604
    assert target.stat().st_mtime_ns == 10**18 + 5000
    assert not tagged or os.getxattr(target, "user.nsp.test") == b"red"
    write_atomically(b"new", tmp_path / "c.png", overwrite=False, attributes_of=tmp_path / "gone.png")
    assert (tmp_path / "c.png").read_bytes() == b"new"

"""The cache on the disk is bounded, and what is damaged in it is made again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nsp_cli.training.cache import OutputCache

SHAPE, DTYPE = (10, 12, 3), np.dtype(np.uint8)


def picture(value: int = 7) -> np.ndarray:
    return np.full(SHAPE, value, DTYPE)


class Maker:
    """Counts how often something had to be made."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return picture(self.calls)


def get(cache: OutputCache, key: str, make: Maker) -> np.ndarray:
    return cache.get(key, SHAPE, DTYPE, make)


def entry_bytes(tmp_path: Path) -> int:
    get(OutputCache(tmp_path / "one", 10**6), "a", Maker())
    return (tmp_path / "one" / "a.npy").stat().st_size


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache, make = OutputCache(tmp_path / "kept", 10**6), Maker()
    assert np.array_equal(get(cache, "a", make), picture(1))
    again = get(OutputCache(tmp_path / "kept", 10**6), "a", make)
    assert isinstance(again, np.memmap)
    assert np.array_equal(again, picture(1))
    assert make.calls == 1
    assert np.array_equal(get(cache, "b", make), picture(2))


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"PK\x03\x04" + b"x" * 300, b"x" * 500, None])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    cache, make = OutputCache(tmp_path, 10**6), Maker()
    get(cache, "a", make)
    file = tmp_path / "a.npy"
    file.write_bytes(file.read_bytes()[:-5] if damage is None else damage)
    assert np.array_equal(get(cache, "a", make), picture(2))
    assert np.array_equal(get(cache, "a", make), picture(2))
    assert make.calls == 2


def test_an_entry_of_another_shape_or_depth_is_made_again(tmp_path: Path) -> None:
    cache = OutputCache(tmp_path, 10**6)
    for wrong in (np.zeros((5, 5, 3), np.uint8), np.zeros(SHAPE, np.uint16)):
        cache.get("a", wrong.shape, wrong.dtype, lambda wrong=wrong: wrong)
        make = Maker()
        assert np.array_equal(get(cache, "a", make), picture(1))
        assert make.calls == 1


def test_the_least_recently_used_leaves_first_and_the_bound_holds(tmp_path: Path) -> None:
    size = entry_bytes(tmp_path)
    folder = tmp_path / "kept"
    cache, make = OutputCache(folder, 3 * size), Maker()
    for age, key in enumerate("abc"):
        get(cache, key, make)
        os.utime(folder / f"{key}.npy", (1000 + age, 1000 + age))
    get(cache, "a", make)  # used again: "b" is the oldest now
    get(cache, "d", make)
    assert make.calls == 4
    assert sorted(path.stem for path in folder.iterdir()) == ["a", "c", "d"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3 * size


def test_what_a_killed_run_left_behind_makes_room_too(tmp_path: Path) -> None:
    size = entry_bytes(tmp_path)
    folder = tmp_path / "kept"
    folder.mkdir()
    left = folder / ".nsp-0123.tmp"
    left.write_bytes(b"x" * size)
    os.utime(left, (1000, 1000))
    get(OutputCache(folder, size), "a", Maker())
    assert [path.name for path in folder.iterdir()] == ["a.npy"]


def test_what_cannot_be_kept_is_made_each_time(tmp_path: Path) -> None:
    small, make = OutputCache(tmp_path / "small", 100), Maker()
    assert [int(get(small, "a", make)[0, 0, 0]) for _ in range(2)] == [1, 2]
    assert not (tmp_path / "small").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be cached"):
        assert np.array_equal(get(OutputCache(tmp_path / "file", 10**6), "a", make), picture(3))

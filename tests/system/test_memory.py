"""Free memory is the machine's or the container's, whichever is less."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nsp_cli.system.memory import available_bytes

MIB = 1 << 20


def group(folder: Path, limit: object, usage: int, names: tuple[str, str] = ("memory.max", "memory.current")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, usage), strict=True):
        (folder / name).write_text(f"{value}\n")


@pytest.mark.parametrize("place", ["app", ".", "app/inner"])
def test_a_limit_of_this_group_or_of_one_above_it_counts(tmp_path: Path, place: str) -> None:
    process, groups = tmp_path / "cgroup", tmp_path / "groups"
    process.write_text("0::/app/inner\n")
    group(groups / "app" / "inner", "max", 5 * MIB)
    group(groups / place, 10 * MIB, 7 * MIB)
    assert available_bytes(process, groups) == 3 * MIB


def test_the_older_version_of_control_groups(tmp_path: Path) -> None:
    process, groups = tmp_path / "cgroup", tmp_path / "groups"
    process.write_text("5:cpu:/app\n4:memory:/app\n")
    group(groups / "memory" / "app", 9 * MIB, 8 * MIB, ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    assert available_bytes(process, groups) == MIB


def test_a_group_above_its_limit_leaves_nothing(tmp_path: Path) -> None:
    process, groups = tmp_path / "cgroup", tmp_path / "groups"
    process.write_text("0::/\n")
    group(groups, 1 * MIB, 2 * MIB)
    assert available_bytes(process, groups) == 0


def test_without_control_groups_it_is_the_machine_s(tmp_path: Path) -> None:
    found = available_bytes(tmp_path / "none", tmp_path / "none")
    assert found == pytest.approx(psutil.virtual_memory().available, rel=0.2)


_FREED_BUT_ONE = """
import numpy, psutil, sys
from nsp_cli.system.memory import return_large_blocks
if sys.argv[1] == "returned":
    return_large_blocks()
for _ in range(2):  # the C library adapts to the size of what was freed
    blocks = [numpy.ones(int(sys.argv[2]) << 20, numpy.uint8) for _ in range(10)]
    del blocks[:9]
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
@pytest.mark.parametrize(("mebibytes", "go_back"), [(20, True), (8, False)])
def test_large_blocks_go_back_to_the_system_as_soon_as_they_are_freed(mebibytes: int, go_back: bool) -> None:
    command = [sys.executable, "-c", _FREED_BUT_ONE]
    kept, returned = (
        int(subprocess.run([*command, name, str(mebibytes)], check=True, capture_output=True).stdout)
        for name in ("kept", "returned")
    )
    assert (kept - returned > 40 * MIB) is go_back

"""Free memory is the machine's or the container's, whichever is less."""

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

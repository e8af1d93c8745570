"""Imports run one way, and the heavy ones stay where they belong."""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nsp_cli"
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises")


def test_imports_run_one_way() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_repository_holds_no_path_of_a_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("an archive of the sources has no list of the repository's files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name]
    assert Path(__file__) in tracked
    marks = [b"/wo" + b"rk/", b"/ro" + b"ot/"]
    assert [path for path in tracked if any(mark in path.read_bytes() for mark in marks)] == []


def test_the_tests_of_every_module_can_be_found() -> None:
    """By name, by imports in the folder of the same name, or by the table in tests/README.md; see there."""
    rows = [row.split("|") for row in (ROOT / "tests/README.md").read_text(encoding="utf-8").splitlines() if "|" in row]
    listed = {name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row[1])}
    tests = {name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row[2])}
    assert [name for name in sorted(tests) if not (ROOT / name).is_file()] == []
    lost: set[str] = set()
    for module in PACKAGE.rglob("*.py"):
        name = module.relative_to(PACKAGE)
        if len(name.parts) > 1 and not name.stem.startswith("__"):
            folder = ROOT / "tests" / name.parts[0]
            parent, dotted = (
                ".".join(("nsp_cli", *name.parent.parts)),
                f"nsp_cli.{'.'.join(name.with_suffix('').parts)}",
            )
            imports = re.compile(rf"\b{re.escape(dotted)}\b|from {re.escape(parent)} import .*\b{name.stem}\b")
            named = (folder / f"test_{name.stem}.py").is_file()
            if not named and not any(imports.search(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")):
                lost.add(name.as_posix())
    assert lost == listed


def test_docstrings_have_the_sections_of_numpydoc() -> None:
    """Entries are `name : type` with an indented description below, and not `name : description` in one line."""
    wrong: list[str] = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines = [*(ast.get_docstring(node) or "").splitlines(), ""]
                inside = False
                for line, after in itertools.pairwise(lines):
                    if line in SECTIONS and after.startswith("---"):
                        inside = True
                    elif inside and line[:1] not in ("", " ", "-") and not after.startswith(" "):
                        wrong.append(f"{path.relative_to(ROOT)}, {node.name}: {line}")
    assert wrong == []

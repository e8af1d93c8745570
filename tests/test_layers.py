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
    """By a test file of its name, or by the table in tests/README.md, with one that imports it if any there does."""
    rows = [row.split("|") for row in (ROOT / "tests/README.md").read_text(encoding="utf-8").splitlines() if "|" in row]
    tests_of = {name: set(_python_files(row[2])) for row in rows for name in _python_files(row[1])}
    assert [test for tests in tests_of.values() for test in tests if not (ROOT / test).is_file()] == []
    unnamed: set[str] = set()
    for module in PACKAGE.rglob("*.py"):
        name = module.relative_to(PACKAGE)
        folder = ROOT / "tests" / name.parts[0]
        if len(name.parts) == 1 or name.stem.startswith("__") or (folder / f"test_{name.stem}.py").is_file():
            continue
        unnamed.add(name.as_posix())
        parent, dotted = ".".join(("nsp_cli", *name.parent.parts)), f"nsp_cli.{'.'.join(name.with_suffix('').parts)}"
        imports = re.compile(rf"\b{re.escape(dotted)}\b|from {re.escape(parent)} import .*\b{name.stem}\b")
        sources = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
        importing = {file for file, source in sources.items() if imports.search(source)}
        assert not importing or importing & tests_of.get(name.as_posix(), set()), name
    assert unnamed == set(tests_of)


def _python_files(cell: str) -> list[str]:
    """Return the Python files that a cell of a table names."""
    return re.findall(r"`([\w/]+\.py)`", cell)


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

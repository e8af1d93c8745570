"""The links, pictures, flags and folders in the documentation exist."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

import nsp_cli.api
from nsp_cli.cli.app import app
from nsp_cli.training import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("weights/*.md")])
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS = {"--help"}
OF_OTHERS = {"--nproc-per-node", "--force"}
"""Flags of torchrun and pipx."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def flags_of_commands() -> dict[str, set[str]]:
    """The flags of each command of `nsp`, by its name."""
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    return {
        name: {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | OTHERS
        for name, command in commands.items()
    }


def commands_in(text: str) -> list[tuple[str, set[str]]]:
    """The `nsp` commands of a page, each with its long flags: up to the end of the line, the code or a comment."""
    typed = re.findall(r"(?<![\w/-])(?:nsp|nsp_cli) ([a-z]+) ([^`\n#]*)", text)
    return [(name, set(FLAG.findall(rest))) for name, rest in typed]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_have_the_flags_that_are_typed(page: Path) -> None:
    known = flags_of_commands()
    typed = [(name, flags) for name, flags in commands_in(page.read_text(encoding="utf-8")) if name in known]
    assert [(name, flags - known[name]) for name, flags in typed if flags - known[name]] == []
    assert typed or page.name in {"CONTRIBUTING.md", "experiments.md", "README.md"}


@pytest.mark.parametrize("name", ["README.md", "docs/photographers.md", "docs/batches.md", "docs/formats.md"])
def test_flags_exist(name: str) -> None:
    said = set(FLAG.findall((ROOT / name).read_text(encoding="utf-8")))
    assert said
    assert said <= set().union(*flags_of_commands().values()) | OF_OTHERS


def test_the_commands_of_the_readme_write_different_files() -> None:
    """Whoever copies them in order is not stopped by a file that exists already."""
    lines = re.findall(
        r"(?:`|^)nsp ([a-z]+) ([^`\n#]*)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    written: list[str] = []
    for command, rest in lines:
        named, _, after = rest.partition(" -o ")
        plain = named.partition(" -")[0].split()
        if after and "--resume" not in rest:
            written.append(after.split()[0])
        elif command in ("denoise", "sr", "watch", "import", "export") and not named.startswith("--"):
            written += plain[:1] if command == "export" else plain[1:2]
    assert len(written) > 15
    assert sorted(written) == sorted(set(written))


def test_every_preset_of_a_paper_is_in_the_table_of_the_papers() -> None:
    lines = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    papers = [(method, name) for method, presets in PRESETS.items() for name in presets if name.startswith("paper")]
    named = {found for row in rows for found in re.findall(r"--method (\w+) --preset (paper[\w-]*)", row)}
    assert len(named) >= 10
    assert named <= set(papers)
    for method, name in papers:
        assert any(f"--method {method} " in row and re.search(rf"\b{name}`?[ `]", row) for row in rows), (method, name)


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs").glob("*.jpg"):
        assert picture.stat().st_size < 300_000, picture.name


def test_the_architecture_page_has_every_folder_and_no_module_that_is_gone() -> None:
    package = ROOT / "nsp_cli"
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_/]+)/` \| (.+) \|$", text, re.MULTILINE))
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("__init__.py")} - {"."}
    assert set(rows) == folders
    for folder, row in rows.items():
        modules = {path.stem for path in (package / folder).glob("*.py")}
        named = re.findall(r"`([a-z][a-z_]*)`", row)
        assert [name for name in named if name not in modules] == []
    files = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text)
    assert files
    assert [name for name in files if not ((package / name).exists() or (ROOT / name).exists())] == []


def test_every_environment_variable_is_in_the_list() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nsp_cli").rglob("*.py"))
    listed = (ROOT / "docs" / "photographers.md").read_text(encoding="utf-8").partition("## Environment variables")[2]
    names = set(re.findall(r"\"(NSP_[A-Z_]+)\"", sources))
    assert len(names) == 3
    assert [name for name in sorted(names) if f"`{name}`" not in listed] == []


def test_the_table_of_the_python_page_is_the_public_api() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", text, re.MULTILINE)
    table = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}
    top = set(nsp_cli.__all__) - {"__version__"}
    assert table["nsp_cli"] == top
    assert table["nsp_cli.api"] == set(nsp_cli.api.__all__) - top
    for module, names in table.items():
        assert names <= set(import_module(module).__all__)
    used = set(re.findall(r"nsp_cli\.([a-z]\w*)\(", text)) | {
        name
        for names in re.findall(r"^from nsp_cli\.\w+ import (.+)$", text, re.MULTILINE)
        for name in names.split(", ")
    }
    assert used <= set().union(*table.values())


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).normal(120, 9, (40, 48, 3)).clip(0, 255).astype(np.uint8)
    Path("card").mkdir()
    for name in ("photo.jpg", "card/a.jpg"):
        Image.fromarray(pixels).save(name)
    names: dict[str, object] = {}
    for block in blocks[:3]:  # the others export and train, which takes longer
        exec(block, names)
    assert np.asarray(names["large"]).shape == (80, 96, 3)
    assert Path("denoised.png").is_file()
    assert Path("denoised/a.jpg").is_file()

"""What the documentation shows is there: its links, its pictures, and the flags that it tells people to type."""

import re
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("weights/*.md")])
OTHERS = {"--help", "--nproc-per-node"}  # every command's, and torchrun's


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("name", ["README.md", "docs/photographers.md", "docs/batches.md", "docs/formats.md"])
def test_flags_exist(name: str) -> None:
    from nsp_cli.cli.app import app

    commands = typer.main.get_command(app).commands.values()  # pyright: ignore[reportAttributeAccessIssue]
    known = {flag for command in commands for option in command.params for flag in option.opts} | OTHERS
    said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", (ROOT / name).read_text(encoding="utf-8")))
    assert said
    assert said <= known


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs").glob("*.jpg"):
        assert picture.stat().st_size < 300_000, picture.name

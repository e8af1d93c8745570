"""The figures of docs/methods.md and the picture of the card are there, and the code draws them."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DRAWN = ("pairs", "phases", "canonical", "simulated", "blind-spot-dbsn", "sdap", "amsnet", "r3", "apr", "rd")


def test_every_figure_of_the_docs_exists_and_none_is_left_over() -> None:
    shown = re.findall(r"\]\((figures/[^)]+)\)", (ROOT / "docs" / "methods.md").read_text(encoding="utf-8"))
    there = {f"figures/{path.name}" for path in (ROOT / "docs" / "figures").iterdir()}
    assert set(shown) == there
    assert len(shown) == len(there)


@pytest.mark.slow
def test_the_script_draws_what_the_docs_show(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / "figures.py", tmp_path, "--only", *DRAWN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in DRAWN:
        drawn, kept = ((folder / f"{name}.svg").read_text() for folder in (tmp_path, ROOT / "docs" / "figures"))
        assert ET.fromstring(drawn).tag.endswith("svg")
        # Pictures are compressed by whatever library is there, and shades depend on a network's last bits.
        if name not in ("simulated", "blind-spot-dbsn"):
            assert drawn == kept, name


@pytest.mark.slow
def test_the_script_draws_the_picture_of_the_card(tmp_path: Path) -> None:
    sheet = tmp_path / "card.jpg"
    command = [sys.executable, ROOT / "examples" / "card_pictures.py", sheet]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(sheet) as drawn, Image.open(ROOT / "docs" / "card.jpg") as kept:
        assert drawn.size == kept.size
        small = [np.asarray(picture.resize((105, 94), Image.Resampling.BOX), np.float64) for picture in (drawn, kept)]
    # Text of captions may differ by the library's version, results by the runtime's rounding.
    assert np.abs(small[0] - small[1]).mean() < 1

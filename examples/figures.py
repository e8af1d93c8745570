"""Draw the figures of docs/methods.md from the code that they explain: from its pairs, masks and gradients.

    python examples/figures.py [FOLDER] [--only NAME …]

What stands in a figure was computed by the package: pixels are numbered or coloured before a function of `nsp_cli`
takes them, and drawn where it put them. The weights of networks are random; a blind spot does not depend on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import drawn_blind_spots as blind_spots
import drawn_masks as masks
import drawn_pairs as pairs

FIGURES: dict[str, Callable[[], str]] = {
    "pairs": pairs.pairs,
    "phases": pairs.phases,
    "canonical": pairs.canonical,
    "simulated": pairs.simulated,
    "blind-spot-dbsn": blind_spots.blind_spot_dbsn,
    "blind-spot-atbsn": blind_spots.blind_spot_atbsn,
    "blind-spot-tbsn": blind_spots.blind_spot_tbsn,
    "sdap": masks.sdap,
    "amsnet": masks.amsnet,
    "r3": masks.r3,
    "apr": masks.apr,
    "rd": masks.rd,
}
"""File name without .svg, and what draws it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "docs" / "figures"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="where to draw (docs/figures)")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES), help="figures (all)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        (arguments.folder / f"{name}.svg").write_text(FIGURES[name](), encoding="utf-8")
        print(arguments.folder / f"{name}.svg")


if __name__ == "__main__":
    main()

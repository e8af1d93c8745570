"""`nsp compare`: one page on which two models are compared blind, side by side in random order."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from random import Random

from nsp_cli.cli.console import plain
from nsp_cli.cli.report.pages import View, card, has_title, mark, write_page
from nsp_cli.cli.report.previews import Size, take_crops
from nsp_cli.image import Frame
from nsp_cli.system.version import __version__

TITLE = "nsp: which is better?"
"""The title of the page, by which a later run recognises it."""

_SIZE = Size(whole=0, crop=384, quality=100)


class Comparison:
    """Collects the crops of two models' results, in an order that `random` decides for each photo."""

    def __init__(self, models: tuple[str, str], random: Random) -> None:
        self._models, self._random = models, random
        self._cards: list[str] = []

    def add(self, source: Path, photo: Frame, results: tuple[Frame, Frame]) -> None:
        """Add the results of the first and the second model for a photo, both of one size."""
        order = [0, 1] if self._random.random() < 0.5 else [1, 0]
        left, right = (results[index] for index in order)
        name = plain(source.name)
        text = card(
            mark=mark(source),
            name=name,
            order=f"{order[0]}{order[1]}",
            facts=plain(str(source)),
            views=[View.of_crop(crop, name) for crop in take_crops(photo, (left, right), _SIZE)],
            left="left",
            right="right",
        )
        self._cards.append(text)

    def write(self, target: Path) -> None:
        """Write the page. Raises `OutputError`."""
        write_page(
            target,
            self._cards,
            title=TITLE,
            heading="Which is better?",
            left="left",
            right="right",
            models=json.dumps([plain(model) for model in self._models]),
            made=f"nsp {__version__}, {datetime.now():%Y-%m-%d %H:%M}",
        )


def is_comparison(page: Path) -> bool:
    """Test whether a file is a page that `Comparison` wrote."""
    return has_title(page, TITLE)

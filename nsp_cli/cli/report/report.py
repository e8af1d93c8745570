"""`--report`: one self-contained page that shows every photo before and after."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

from nsp_cli.cli.batch.log import Tally
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status
from nsp_cli.cli.console import plain
from nsp_cli.cli.report.pages import View, card, has_title, mark, write_page
from nsp_cli.system.files import numbered_names
from nsp_cli.system.version import __version__

TITLE = "nsp: before and after"
"""The title of a report's page, by which a later run recognizes it."""

_CARD = re.compile(r'<article id="([0-9a-f]+)".*?</article>', re.DOTALL)
_LOOK = ("strength", "luma", "chroma")
_USED = re.compile(r' data-(strength|luma|chroma|model)="([^"]*)"')
"""Matches a setting or the model that a photo was denoised with, in the first tag of its card."""


class Report:
    """Collects a piece of HTML for every photo, so that pictures are not kept twice."""

    def __init__(self, recipe: Recipe) -> None:
        self.cards: list[str] = []
        self.skipped: list[Path] = []
        self._recipe = recipe

    def add(self, outcome: Outcome) -> None:
        """Add a photo that was written; one that was skipped keeps its card of an earlier run."""
        if outcome.status is Status.WRITTEN:
            self.cards.append(_card(outcome, self._recipe))
        elif outcome.status is Status.SKIPPED and outcome.target is not None:
            self.skipped.append(outcome.target)

    def merge(self, parts: Sequence[tuple[list[str], list[Path]]]) -> None:
        """Replace the cards and skipped photos by those of all processes."""
        self.cards = [card for cards, _ in parts for card in cards]
        self.skipped = [path for _, skipped in parts for path in skipped]

    def write(self, page: Path, tally: Tally, seconds: float, *, replace_any: bool = False) -> Path:
        """Write the page, with the cards of photos that an earlier report has and this run skipped.

        Returns
        -------
        Path
            The path of the page: a free name where another file than a report has appeared since the start, see
            `place`.

        Raises
        ------
        OutputError
            The page cannot be written.
        """
        target = place(page, replace_any=replace_any)
        earlier = _earlier_cards(target)
        kept = [earlier[name] for name in map(mark, self.skipped) if name in earlier]
        cards = [*kept, *self.cards]
        uses = [dict(_USED.findall(card.partition(">")[0])) for card in cards]
        write_page(
            target,
            cards,
            title=TITLE,
            heading="Before and after",
            left="before",
            right="after",
            summary=plain(tally.sentence()),
            numbers=_numbers(tally, seconds),
            settings=_settings(self._recipe),
            look=_ends(self._recipe, uses),
            command=_command(self._recipe, uses),
            failures=[plain(problem) for problem in tally.problems()],
            made=f"nsp {__version__}, {datetime.now():%Y-%m-%d %H:%M}",
        )
        return target


def place(page: Path, *, replace_any: bool) -> Path:
    """Return where a report is written: to `page` if it is free, a report or replaceable, else to a numbered name.

    With `replace_any` any file may be replaced, but what a link leads to must be a report: it could be a photo.
    """

    def is_free(name: Path) -> bool:
        return not os.path.lexists(name) or is_report(name) or (replace_any and not name.is_symlink())

    return next(filter(is_free, numbered_names(page)))


def is_report(page: Path) -> bool:
    """Test whether a file is a page that `Report` wrote, which a later run may replace."""
    return has_title(page, TITLE)


def _earlier_cards(page: Path) -> dict[str, str]:
    """Return the cards of a report that exists, by the marks of their photos' results."""
    if not is_report(page):
        return {}
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    return {match[1]: match[0] for match in _CARD.finditer(text)}


def _numbers(tally: Tally, seconds: float) -> list[tuple[str, object]]:
    rate = tally.megapixels / max(seconds, 1e-9)
    return [
        ("written", f"{tally.written} of {tally.photos}"),
        ("skipped", tally.skipped),
        ("failed", tally.failed),
        ("megapixels", f"{tally.megapixels:.1f}"),
        ("time", f"{seconds:.1f} s"),
        ("rate", f"{rate:.2f} MP/s"),
    ]


def _settings(recipe: Recipe) -> list[tuple[str, object]]:
    given = [(name.replace("_", " "), value) for name, value in recipe.settings.items() if value is not None]
    return [("model", recipe.model), ("sha256", recipe.sha256), *given]


def _most(recipe: Recipe, notes: dict[str, object]) -> dict[str, int | float]:
    """Return the look that results have, and the sliders' ends: what the page shows lies between it and the input."""
    values: dict[str, Any] = {name: recipe.settings.get(name, 100.0) for name in _LOOK} | notes
    return {name: 100 if values[name] == "auto" else round(float(values[name]), 1) for name in _LOOK}


def _ends(recipe: Recipe, uses: Sequence[Mapping[str, str]]) -> dict[str, int | float]:
    """Return the ends of the page's sliders, where they start: the largest values that a photo has."""
    return {
        name: max((float(use[name]) for use in uses if name in use), default=value)
        for name, value in _most(recipe, {}).items()
    }


def _command(recipe: Recipe, uses: Sequence[Mapping[str, str]]) -> str:
    """Return the command line that gives the look that the page shows at first.

    Where a config file chose other settings, they are part of it, as far as they are the same for all photos: for
    others, the command leaves the choice to that file.
    """
    task = "denoise" if recipe.settings.get("task", "denoise") == "denoise" else "sr"
    settings = {name: recipe.settings.get(name, 100.0) for name in _LOOK}
    looks = {tuple(use.get(name) for name in _LOOK) for use in uses}
    models = {unescape(use.get("model", recipe.model)) for use in uses} or {recipe.model}
    usual = tuple(str(value) for value in _most(recipe, {}).values())
    configured = settings["strength"] != "auto" and bool(looks) and looks != {usual}
    if configured and len(looks) == 1:
        settings = {name: float(value or 100) for name, value in zip(_LOOK, *looks, strict=True)}
    look = [
        f"--{name} {value}" if value == "auto" else f"--{name} {value:g}"
        for name, value in settings.items()
        if value != 100.0 or (configured and len(looks) == 1)
    ]
    model = ["-m", *models] if len(models) == 1 else []
    return " ".join(["nsp", task, "IN -o OUT", *model, *look])


def _fact(name: str, value: object) -> str:
    """Format a setting of one photo: "strength 62.0", or "measured luma 6.2, chroma 8.1"."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key.replace('_', ' ')} {number:.1f}" for key, number in value.items())
    return f"{name} {value}"


def _card(outcome: Outcome, recipe: Recipe) -> str:
    facts = [f"{outcome.megapixels or 0:.2f} MP", f"{outcome.seconds:.1f} s"]
    facts += [_fact(name, value) for name, value in outcome.notes.items()]
    views: list[View] = []
    if outcome.previews is not None:
        name = plain(outcome.source.name)
        views = [View.of(outcome.previews.whole, f"the whole of {name}", "whole photo", is_crop=False)]
        views += [View.of_crop(crop, name) for crop in outcome.previews.crops]
    return card(
        name=plain(outcome.source.name),
        mark=mark(outcome.target or outcome.source),
        look=_most(recipe, {name: value for name, value in outcome.notes.items() if name in _LOOK}),
        model=str(outcome.notes.get("model", recipe.model)),
        facts=plain(f"{outcome.source} → {outcome.target} · {' · '.join(facts)}"),
        notes=[plain(sentence) for sentence in outcome.warnings],
        views=views,
        left="before",
        right="after",
    )

"""`--report`: one page that shows every photo before and after, and needs nothing but itself."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from html import escape
from pathlib import Path

from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status, Tally
from nsp_cli.cli.console import plain
from nsp_cli.cli.report.page import PAGE, TITLE
from nsp_cli.cli.report.previews import Pair
from nsp_cli.system.atomic import publish
from nsp_cli.system.version import __version__


class Report:
    """Collects a piece of HTML for every photo, so that pictures are not kept twice."""

    def __init__(self, recipe: Recipe) -> None:
        self.cards: list[str] = []
        self.skipped: list[Path] = []
        self._recipe = recipe

    def add(self, outcome: Outcome) -> None:
        """Add the card of a photo that was written."""
        if outcome.status is Status.WRITTEN:
            self.cards.append(_card(outcome))
        elif outcome.status is Status.SKIPPED and outcome.target is not None:
            self.skipped.append(outcome.target)

    def write(self, target: Path, tally: Tally, seconds: float) -> None:
        """Write the page to `target`. Raises `OutputError`."""
        earlier = _earlier_cards(target)
        kept = [earlier[name] for name in map(_mark, self.skipped) if name in earlier]
        page = PAGE.format(
            summary=_text(tally.sentence()),
            numbers=_rows(_numbers(tally, seconds)),
            settings=_rows(_settings(self._recipe)),
            failures=_failures(tally.problems()),
            cards="\n".join([*kept, *self.cards]) or "<p>No photo was written.</p>",
            made=_text(f"nsp {__version__}, {datetime.now():%Y-%m-%d %H:%M}"),
        )
        publish(page.encode("utf-8"), target, overwrite=True)


def _earlier_cards(page: Path) -> dict[str, str]:
    """Return the cards of a report that exists, by the marks of their photos' results."""
    if not is_report(page):
        return {}
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    return {
        match[1]: match[0] for match in re.finditer(r'<article><h2 id="([0-9a-f]+)">.*?</article>', text, re.DOTALL)
    }


def _mark(result: Path) -> str:
    """Return what a result is recognised by in the report of a later run."""
    return sha256(os.fsencode(result.absolute())).hexdigest()[:16]


def is_report(page: Path) -> bool:
    """Return whether a file is a page that `Report` wrote, which a later run may replace."""
    try:
        with page.open("rb") as file:
            return TITLE.encode() in file.read(1000)
    except OSError:
        return False


def _text(value: object) -> str:
    return escape(plain(str(value)))


def _rows(pairs: Iterable[tuple[str, object]]) -> str:
    return "\n".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in pairs)


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
    said = [(name.replace("_", " "), value) for name, value in recipe.settings.items() if value is not None]
    return [("model", recipe.model), ("sha256", recipe.sha256), *said]


def _failures(failures: list[str]) -> str:
    if not failures:
        return ""
    items = "\n".join(f"<li>{_text(failure)}</li>" for failure in failures)
    return f'<section class="failures"><h2>Failed</h2><ul>\n{items}\n</ul></section>'


def _card(outcome: Outcome) -> str:
    facts = [f"{outcome.megapixels or 0:.2f} MP", f"{outcome.seconds:.1f} s"]
    facts += [f"{name} {value}" for name, value in outcome.notes.items()]
    notes = "".join(f'<p class="note">{_text(sentence)}</p>' for sentence in outcome.warnings)
    pictures = "<p>Its pictures could not be made.</p>"
    if outcome.previews is not None:
        name = outcome.source.name
        pictures = _slider(outcome.previews.whole, f"the whole of {name}", "whole photo") + _slider(
            outcome.previews.crop, f"a part of {name}", "100 %, where it changed most"
        )
    return (
        f'<article><h2 id="{_mark(outcome.target or outcome.source)}">{_text(outcome.source.name)}</h2>'
        f'<p class="facts">{_text(outcome.source)} → {_text(outcome.target)} · {_text(" · ".join(facts))}</p>'
        f'{notes}<div class="pictures">{pictures}</div></article>'
    )


def _slider(pair: Pair, what: str, caption: str) -> str:
    width, height = pair.size
    before, after = (
        f'<img class="{kind}" width="{width}" height="{height}" loading="lazy" alt="{_text(f"{what}, {kind}")}" '
        f'src="data:image/webp;base64,{b64encode(data).decode("ascii")}">'
        for kind, data in (("before", pair.before), ("after", pair.after))
    )
    return (
        f'<figure style="--width:{width}px"><div class="compare">{after}{before}'
        f'<input type="range" min="0" max="100" value="50" aria-label="{_text(f"before and after: {what}")}"></div>'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )

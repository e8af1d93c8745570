"""The templates of the HTML pages, and what a report and a comparison have in common."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from nsp_cli.cli.report.previews import Crop, Pair
from nsp_cli.system.atomic import write_atomically

_FOLDER = Path(__file__).parent
_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True, keep_trailing_newline=True
)


@dataclass(frozen=True)
class View:
    """Two pictures that lie over each other on a card, as base64."""

    title: str
    caption: str
    is_crop: bool
    width: int
    height: int
    before: str
    after: str

    @classmethod
    def of(cls, pair: Pair, title: str, caption: str, *, is_crop: bool) -> View:
        """Encode two pictures."""
        before, after = (b64encode(data).decode("ascii") for data in (pair.before, pair.after))
        return cls(title, caption, is_crop, *pair.size, before, after)

    @classmethod
    def of_crop(cls, crop: Crop, name: str) -> View:
        """Encode a crop of the photo `name`."""
        return cls.of(crop.pair, f"a part of {name}", f"100 %, {crop.reason}", is_crop=True)


def card(**contents: Any) -> str:
    """Render the part of a page that shows one photo: see card.html.j2."""
    return _TEMPLATES.get_template("card.html.j2").render(contents)


def write_page(target: Path, cards: list[str], **contents: Any) -> None:
    """Write a page that needs no other file: see page.html.j2. Raises `OutputError`."""
    script = Markup((_FOLDER / "page.js").read_text(encoding="utf-8"))
    template = _TEMPLATES.get_template("page.html.j2")
    page = template.render(contents, cards=[Markup(text) for text in cards], script=script)
    write_atomically(page.encode("utf-8"), target, overwrite=True)


def has_title(page: Path, title: str) -> bool:
    """Test whether a file is a page with this title, which a later run may replace."""
    try:
        with page.open("rb") as file:
            return f"<title>{title}</title>".encode() in file.read(1000)
    except OSError:
        return False


def mark(result: Path) -> str:
    """Return a card's id, by which the report of a later run recognises a result."""
    return sha256(os.fsencode(result.absolute())).hexdigest()[:16]

"""`nsp compare`: the page, and votes in a browser where there is one."""

import json
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

from nsp_cli.cli.report.comparison import Comparison
from nsp_cli.image import Frame
from tests.cli.test_commands import Weights, run
from tests.cli.test_report import Page, browser, open_in_browser

NAMES = ('a "quoted" <b>', "b&c")


def test_the_command_writes_a_page(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    page, first = tmp_path / "c.html", weights()
    second = first.with_name("second.safetensors")
    second.write_bytes(first.read_bytes())
    damaged = noisy_photos / "9.png"
    damaged.write_bytes((noisy_photos / "0.png").read_bytes()[:200])
    code, said = run("compare", first, second, noisy_photos, "-o", page)
    assert (code, "9.png" in said, "5 of 6 photos" in said) == (1, True, True)
    parsed = Page(page.read_text("utf-8"))
    assert len(parsed.all("article")) == 5
    (body,) = parsed.all("body")
    assert json.loads(body["data-models"] or "") == [str(first), str(second)]
    assert run("compare", first, second, noisy_photos / "0.png", "-o", page)[0] == 0  # replaces our own
    assert len(Page(page.read_text("utf-8")).all("article")) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fast", "fast", "0.png"), "needs two models"),
        (("fast", "best", "0.png", "-o", "page.txt"), "must end in .html"),
        (("fast", "best", "0.png", "-o", "mine.html"), "is not a comparison of nsp"),
        (("fast", "best", "none.png"), "There is no photo"),
    ],
)
def test_refusals(
    arguments: tuple[str, ...], sentence: str, noisy_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(noisy_photos)
    Path("mine.html").write_text("<title>mine</title>")
    code, said = run("compare", *arguments)
    assert (code != 0, sentence in said) == (True, True)
    assert Path("mine.html").read_text() == "<title>mine</title>"


def make_page(target: Path, photos: int) -> list[str]:
    """Write a page on which the first model's results are black, and return the models' orders on its cards."""
    black, white = Frame(np.zeros((64, 64, 3), np.uint8)), Frame(np.full((64, 64, 3), 255, np.uint8))
    page = Comparison(NAMES, Random(3))
    for number in range(photos):
        page.add(Path(f"<i>{number}.png"), black, (black, white))
    page.write(target)
    return [card["data-order"] or "" for card in Page(target.read_text("utf-8")).all("article")]


def test_the_order_is_random_and_the_names_are_no_text_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "c.html"
    assert set(make_page(page, 12)) == {"01", "10"}
    assert not any(name in Page(page.read_text("utf-8")).text for name in NAMES)


@browser
def test_votes_are_counted_for_the_model_that_was_shown(tmp_path: Path) -> None:
    page = tmp_path / "c.html"
    orders = make_page(page, 4)
    votes = ["2", *(str(order.index("1")) for order in orders[1:])]  # one undecided, the others for the second
    script = f"""
    const shown = [], votes = {votes};
    document.querySelectorAll("article").forEach((card, index) => {{
      shown.push(document.querySelector(".outcome").textContent);
      card.querySelector(`.votes [value="${{votes[index]}}"]`).click();
    }});
    document.body.dataset.shown = shown.join();
    """
    page.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    dom = open_in_browser(page.as_uri(), tmp_path)
    assert 'data-shown="0 of 4 photos judged,1 of 4 photos judged' in dom
    assert "b&amp;c 3, no difference 1</p>" in dom
    tags = re.findall(r'class="tag (?:left|right)"[^>]*>([^<]*)<', dom)
    pairs = list(zip(tags[::2], tags[1::2], strict=True))
    assert [left == "b&amp;c" for left, _ in pairs] == [
        order == "10" for order in orders for _ in range(len(pairs) // 4)
    ]

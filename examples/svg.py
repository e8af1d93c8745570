"""Just enough SVG for the figures of docs/: grids of pixels, words, arrows, small pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

INK, GREY, PAPER = "#24292f", "#8c959f", "#ffffff"
ORANGE, BLUE, GREEN, PALE = "#f4a259", "#4a90d9", "#8cb369", "#eef1f4"
SET = ("#4a90d9", "#f4a259", "#8cb369", "#c06c84", "#f2d06b", "#7f7caf")
"""Distinct colours for up to six sets."""

Paint = Callable[[int, int], str]
"""(row, column) to a colour, or to a label."""


def grid(x: float, y: float, rows: int, columns: int, cell: float, fill: Paint, label: Paint | None = None) -> str:
    """Rows × columns of squares whose upper left corner is (x, y)."""
    squares: dict[str, list[str]] = {}
    labels: list[str] = []
    for r, c in np.ndindex(rows, columns):
        left, top = x + c * cell, y + r * cell
        squares.setdefault(fill(r, c), []).append(f"M{left:g} {top:g}h{cell:g}v{cell:g}h-{cell:g}z")
        if label is not None and (text := label(r, c)):
            labels.append(words(left + cell / 2, top + 0.68 * cell, text, 0.5 * cell, "middle"))
    drawn = [f'<path d="{"".join(d)}" fill="{colour}"/>' for colour, d in squares.items()]
    return f'<g stroke="{GREY}" stroke-width="0.6">{"".join(drawn)}</g>{"".join(labels)}'


def frame(x: float, y: float, width: float, height: float) -> str:
    """A thick outline, as of a cell."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" stroke="{INK}" '
        'stroke-width="1.8"/>'
    )


def words(x: float, y: float, text: str, size: float = 13, anchor: str = "start", colour: str = INK) -> str:
    """A line of text whose base line is at y."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def lines(x: float, y: float, texts: Sequence[str], size: float = 13, anchor: str = "start") -> str:
    """Several lines, one below the other."""
    return "".join(words(x, y + 1.3 * size * i, text, size, anchor) for i, text in enumerate(texts))


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str = INK) -> str:
    """A line with a head at its second end."""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="1.4" '
        'marker-end="url(#head)"/>'
    )


def picture(x: float, y: float, side: float, pixels: NDArray[np.float32]) -> str:
    """(H, W, 3) in [0, 1] as a picture of `side` units, its pixels not smoothed."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/>'
    )


def document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """A whole file, on white, so that dark pages show it too."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="Helvetica, Arial, sans-serif"><title>{escape(title)}</title>{head}'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(parts)}</svg>\n'
    )

"""The panels of `--help`: their titles and their order."""

from __future__ import annotations

from typing import Any

IN_OUT, LOOK, RAW, MODEL = "Input and output", "Look", "RAW photos", "Model and device"
BATCH, MESSAGES = "Batch", "Messages"
"""Titles of the panels that several commands have."""


def in_order_of_panels(params: list[Any]) -> list[Any]:
    """Sort parameters by their panels: arguments, IN_OUT, those that one command alone has, then the other shared ones.

    All commands thus have the shared panels in the same order. Parameters of one panel keep theirs.
    """
    last = [LOOK, RAW, MODEL, BATCH, MESSAGES]
    first = {None: -2, IN_OUT: -1}
    return sorted(
        params,
        key=lambda param: last.index(panel) + 1 if (panel := param.rich_help_panel) in last else first.get(panel, 0),
    )

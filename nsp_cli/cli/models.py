"""`nsp models`."""

from __future__ import annotations

import dataclasses
import json

from nsp_cli.cli import options
from nsp_cli.cli.console import out


def list_models(as_json: options.Json = False, verbose: options.Verbose = False) -> None:
    """List the weights that are at hand: those that ship, and those in NSP_HOME/weights."""
    from nsp_cli import models

    infos = models.at_hand()
    if as_json:
        rows = [{**dataclasses.asdict(info), "path": str(info.path), "megabytes": info.megabytes} for info in infos]
        out.print_json(json.dumps(rows))
        return
    from rich.table import Table

    table = Table("model", "method", "network", "photos", "licence", "MB", "quality", box=None, pad_edge=False)
    for info in infos:
        name = f"{info.name} (default)" if info.default else info.name
        table.add_row(name, info.method, info.network, info.photos, info.licence, f"{info.megabytes:.1f}", info.quality)
    out.print(table)

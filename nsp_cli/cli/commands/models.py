"""`nsp models`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from nsp_cli.cli import common_flags
from nsp_cli.cli.console import out
from nsp_cli.model.spec import Task

if TYPE_CHECKING:
    from nsp_cli.model.registry import ModelInfo


def list_models(as_json: common_flags.Json = False, verbose: common_flags.Verbose = False) -> None:
    """List the models that ship, and your own.

    Your own are the files in the folder `own_weights` that `nsp doctor` prints; the variable NSP_HOME changes it.
    """
    from nsp_cli.model import registry

    infos = registry.at_hand()
    if as_json:
        rows = [{**dataclasses.asdict(info), "path": str(info.path), "megabytes": info.megabytes} for info in infos]
        out.print_json(json.dumps(rows))
        return
    from rich.table import Column, Table

    names = ("model", "default of", "method", "network", "photos", "licence", "MB", "quality")
    columns = (Column(name, no_wrap=name == "model", overflow="fold") for name in names)
    table = Table(*columns, box=None, pad_edge=False)
    for info in infos:
        table.add_row(
            info.name,
            _default_of(info),
            info.method,
            info.network,
            info.photos,
            info.licence,
            f"{info.megabytes:.1f}",
            info.quality,
        )
    out.print(table)
    out.print(
        "\nModels of the methods nsp and rd (NSP and its student) were trained on noisy photos alone. "
        "Those of simulated are not NSP: they were trained on clean photos with simulated noise, "
        "and fast-research then on noisy photos too."
    )


def _default_of(info: ModelInfo) -> str:
    """Return the commands that use a model by default, with the modes of `nsp sr` that it is the default of."""
    from nsp_cli.api import DEFAULT_SR_MODE

    commands = {str(Task.DENOISE): "denoise", str(DEFAULT_SR_MODE): "sr"}
    modes = " or ".join(task for task in info.default_for if task not in commands)
    uses = [command for task, command in commands.items() if task in info.default_for]
    return ", ".join([*uses, f"sr --mode {modes}"] if modes else uses)

"""`nsp export`."""

from __future__ import annotations

from typing import Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.console import err
from nsp_cli.engine.options import ModelOptions
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import Task
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists


def export(
    target: options.Output,
    model: options.Model = None,
    task: Annotated[
        Task, typer.Option("--task", help="What the file does: denoise, or one of sr's modes.")
    ] = Task.DENOISE,
    blind: options.Blind = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the whole pipeline, not only the network, as one ONNX file for photos of any size."""
    from nsp_cli import api

    if target.suffix != ".onnx":
        raise UsageError(f"The file to write must end in .onnx, got {target.name}.")
    if exists(target) and not overwrite:
        raise UsageError(f"{target} exists already; use --overwrite, or another name.")
    check_place(target)
    worst = api.export(model, target, task, settings=ModelOptions(blind=blind).settings, overwrite=overwrite)
    err.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, differs from torch by {worst:.1e} at most")

"""`nsp export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.console import err, warn
from nsp_cli.engine.options import ModelOptions
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import Precision, Task
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists


def export(
    target: options.Output,
    model: options.Model = None,
    task: Annotated[
        Task, typer.Option("--task", help="What the file does: denoise, or one of sr's modes.")
    ] = Task.DENOISE,
    blind: options.Blind = None,
    precision: Annotated[
        Precision, typer.Option("--precision", help="fp32, or int8 for a ResUNet: faster with OpenVINO, less exact.")
    ] = Precision.FP32,
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="Folder of noisy photos that set the ranges of int8.")
    ] = None,
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
    if precision not in (Precision.FP32, Precision.INT8):
        raise UsageError(f"An export is in fp32 or int8, got --precision {precision}.")
    if (precision is Precision.INT8) != (calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FOLDER go together; give both or neither.")
    if calibrate is not None:
        settings = ModelOptions(blind=blind).settings
        change = api.export(model, target, task, settings=settings, overwrite=overwrite, int8_photos=calibrate)
        err.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
        warn(
            f"int8 changes the results of the photos in {calibrate} by {255 * change:.2f} of 255 (RMS); "
            "0.3 costs about 0.1 dB of a PSNR of 42 dB, and 0.03 dB of 36 dB."
        )
        return
    worst = api.export(model, target, task, settings=ModelOptions(blind=blind).settings, overwrite=overwrite)
    err.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, differs from torch by {worst:.1e} at most")

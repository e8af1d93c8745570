"""`nsp export`."""

from __future__ import annotations

from enum import StrEnum
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


class Program(StrEnum):
    """A program that a model is exported for."""

    DARKTABLE = "darktable"
    CHAINNER = "chainner"
    UPSCAYL = "upscayl"


_NO_UPSCAYL = (
    "Upscayl cannot run these models: it cuts photos into tiles that overlap by 10 pixels, where the seams of fast-sr "
    "are 10 levels of 255 high, and ncnn has no padding to the multiples of 8 pixels that the network needs. "
    "Use `nsp sr`, or --for chainner."
)


def export(
    target: options.Output,
    model: options.Model = None,
    task: Annotated[
        Task, typer.Option("--task", help="What the file does: denoise, or one of sr's modes.")
    ] = Task.DENOISE,
    program: Annotated[
        Program | None,
        typer.Option("--for", help="Write what this program reads: a .dtmodel for darktable, an .onnx for chaiNNer."),
    ] = None,
    noise_input: Annotated[
        bool,
        typer.Option(
            "--noise-input", help="Add the noise level as a second, optional input (noise-conditional models)."
        ),
    ] = False,
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

    if program is Program.UPSCAYL:
        raise UsageError(_NO_UPSCAYL)
    if program is not None and noise_input:
        raise UsageError(f"--noise-input adds an input that {program} has no value for; leave out one of the two.")
    suffix = ".dtmodel" if program is Program.DARKTABLE else ".onnx"
    if target.suffix != suffix:
        raise UsageError(f"The file to write must end in {suffix}, got {target.name}.")
    if exists(target) and not overwrite:
        raise UsageError(f"{target} exists already; use --overwrite, or another name.")
    check_place(target)
    if precision not in (Precision.FP32, Precision.INT8):
        raise UsageError(f"An export is in fp32 or int8, got --precision {precision}.")
    if (precision is Precision.INT8) != (calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FOLDER go together; give both or neither.")
    if program is Program.DARKTABLE and calibrate is not None:
        raise UsageError("Packages for darktable are in fp32; leave out --precision int8 and --calibrate.")
    settings = ModelOptions(blind=blind).settings
    if calibrate is not None:
        change = api.export(
            model, target, task, settings=settings, noise_input=noise_input, overwrite=overwrite, int8_photos=calibrate
        )
        err.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
        warn(
            f"int8 changes the results of the photos in {calibrate} by {255 * change:.2f} of 255 (RMS); "
            "0.3 costs about 0.1 dB of a PSNR of 42 dB, and 0.03 dB of 36 dB."
        )
        return
    if program is Program.DARKTABLE:
        written = api.export_darktable(model, target, task, settings=settings, overwrite=overwrite)
    else:
        worst = api.export(model, target, task, settings=settings, noise_input=noise_input, overwrite=overwrite)
        written = {target: worst}
    for path, worst in written.items():
        err.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, differs from torch by {worst:.1e} at most")

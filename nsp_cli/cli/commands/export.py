"""`nsp export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from nsp_cli.cli import common_flags
from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.plan import count_unread
from nsp_cli.cli.common_flags import option, switch
from nsp_cli.cli.console import err, warn
from nsp_cli.engine.options import ModelOptions
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import Precision, Task
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists, is_file

EXPORT = "Export"
"""A panel of `nsp export --help`."""


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


Model = Annotated[
    str | None,
    option(
        "-m",
        "--model",
        panel=EXPORT,
        metavar="MODEL",
        help="Export this model: a name of `nsp models`, or a .safetensors file given by its path.",
        show_default="fast; fast-sr for direct, nsp for shuffle",
    ),
]
ForTask = Annotated[
    Task,
    option(
        "--task",
        panel=EXPORT,
        metavar="TASK",
        help="Export for denoise, or for an sr mode: direct, shuffle or shuffle-denoise.",
    ),
]
ForProgram = Annotated[
    Program | None,
    option(
        "--for",
        panel=EXPORT,
        metavar="PROGRAM",
        help="Write for this program: a .dtmodel for darktable, an .onnx for chainner.",
    ),
]
NoiseInput = Annotated[
    bool,
    switch(
        "--noise-input",
        panel=EXPORT,
        help="Add the noise level as a second, optional input (noise-conditional models).",
    ),
]
FilePrecision = Annotated[
    Precision,
    option(
        "--precision",
        panel=EXPORT,
        metavar="FORMAT",
        help="Write in fp32, or in int8 for a ResUNet or TwoScale: faster with OpenVINO, less exact.",
    ),
]
Calibrate = Annotated[
    Path | None,
    option(
        "--calibrate",
        panel=EXPORT,
        metavar="FOLDER",
        help="Measure the ranges of int8 on the noisy photos of this folder.",
    ),
]


def export(
    target: common_flags.Output,
    model: Model = None,
    task: ForTask = Task.DENOISE,
    program: ForProgram = None,
    noise_input: NoiseInput = False,
    blind: common_flags.Blind = None,
    coarse_chroma: common_flags.CoarseChroma = None,
    precision: FilePrecision = Precision.FP32,
    calibrate: Calibrate = None,
    overwrite: common_flags.Overwrite = False,
    verbose: common_flags.Verbose = False,
) -> None:
    """Write a model as one ONNX file for photos of any size.

    The file has padding, noise estimation and pixel-shuffle downsampling in it, not the network alone.
    """
    from nsp_cli import api

    _check_combination(program, precision, calibrate, noise_input)
    if exists(target) and not overwrite:
        raise UsageError(f"{target} exists already; use --overwrite, or another name.")
    check_place(target)
    settings = ModelOptions(blind=blind, coarse_chroma=coarse_chroma).settings
    if calibrate is not None:
        if unread := count_unread(path for path in calibrate.rglob("*") if is_file(path)):
            warn(unread_sentence(unread))
        change = api.export_int8(
            model, target, task, photos=calibrate, settings=settings, noise_input=noise_input, overwrite=overwrite
        )
        err.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
        warn(
            f"int8 changes the results of the photos in {calibrate} by {255 * change:.2f} of 255 (RMS); "
            "0.3 costs about 0.1 dB of a PSNR of 42 dB, and 0.03 dB of 36 dB."
        )
        return
    if program is Program.DARKTABLE:
        from nsp_cli.engine.export.api import model_to_export
        from nsp_cli.model.checkpoint import read_spec

        written = api.export_darktable(model, target, task, settings=settings, overwrite=overwrite)
        own = read_spec(model_to_export(model, task)).method_args
        if task is Task.DENOISE and {**own, **settings}.get("coarse_chroma"):
            warn(
                "The packages are without the coarse chroma of this model: darktable's tiles overlap too little for it."
            )
    else:
        worst = api.export(model, target, task, settings=settings, noise_input=noise_input, overwrite=overwrite)
        written = {target: worst}
    for path, worst in written.items():
        err.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, differs from torch by {worst:.1e} at most")


def _check_combination(
    program: Program | None, precision: Precision, calibrate: Path | None, noise_input: bool
) -> None:
    """Raise `UsageError` for flags that do not go together, before the model is loaded."""
    if program is Program.UPSCAYL:
        raise UsageError(_NO_UPSCAYL)
    if program is not None and noise_input:
        raise UsageError(f"--noise-input adds an input that {program} has no value for; leave out one of the two.")
    if precision not in (Precision.FP32, Precision.INT8):
        raise UsageError(f"An export is in fp32 or int8, got --precision {precision}.")
    if (precision is Precision.INT8) != (calibrate is not None):
        raise UsageError("--precision int8 and --calibrate FOLDER go together; give both or neither.")
    if program is Program.DARKTABLE and calibrate is not None:
        raise UsageError("Packages for darktable are in fp32; leave out --precision int8 and --calibrate.")

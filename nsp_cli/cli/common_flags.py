"""Flags that several commands have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from nsp_cli.cli.help_panels import BATCH, IN_OUT, LOOK, MESSAGES, MODEL, RAW
from nsp_cli.engine.options import BlendOptions, IfExists
from nsp_cli.errors import UsageError
from nsp_cli.image import WhiteBalance
from nsp_cli.model import spec


def either(values: Iterable[str]) -> str:
    """Join names as in "auto, torch or onnx"."""
    *others, last = values
    return f"{', '.join(others)} or {last}" if others else last


def option(*names: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    """Return an option with a value, shown in a panel of `--help`."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, **more)


def switch(*names: str, panel: str, help: str) -> Any:
    """Return an option without a value; its help shows no type and no default."""
    return typer.Option(*names, metavar=" ", rich_help_panel=panel, help=help, show_default=False)


Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... [OUT]",
        help="Photos, folders, or patterns such as 'card/*.nef'. OUT is a file for one photo and a folder for several; "
        "it is required for a folder of photos. Without OUT, photo.jpg becomes photo_nsp.jpg. `-` reads stdin and "
        "writes stdout.",
        show_default=False,
    ),
]
PhotosAndFolders = Annotated[
    list[Path], typer.Argument(metavar="PHOTOS...", help="Photos, or folders of them.", show_default=False)
]
OutputPath = Annotated[
    str | None,  # a Path has no slash at its end, which makes it a folder
    option("-o", "--output", panel=IN_OUT, metavar="PATH", help="Write to this file (one photo) or folder (several)."),
]


def _format(value: str | None) -> str | None:
    """Return the name of a format as a suffix has it: JPEG and .jpeg are jpeg."""
    return None if value is None else value.lower().removeprefix(".")


Format = Annotated[
    str | None,
    option(
        "-f",
        "--format",
        callback=_format,
        panel=IN_OUT,
        metavar="FORMAT",
        help="Write png, jpeg, tiff, webp, avif, or dng (of RAW photos).",
        show_default="the input's; tiff for RAW, jpeg for HEIC",
    ),
]
Quality = Annotated[
    int, option("-q", "--quality", panel=IN_OUT, metavar="1..100", help="Set the quality of JPEG, WebP and AVIF.")
]
Exists = Annotated[
    IfExists | None,
    option(
        "--if-exists",
        panel=IN_OUT,
        metavar="ACTION",
        help="Do this if an output exists: skip, overwrite, rename or fail.",
        show_default="fail for one photo, skip for several",
    ),
]
NoMetadata = Annotated[
    bool, switch("--no-metadata", panel=IN_OUT, help="Write no metadata except the colour profile and the orientation.")
]
Like = Annotated[
    Path | None,
    option("--like", panel=LOOK, metavar="RESULT", help="Use the settings that this result of nsp was made with."),
]
NoConfig = Annotated[
    bool,
    switch(
        "--no-config", panel=LOOK, help="Ignore the settings for cameras in config.toml (`nsp doctor` prints its path)."
    ),
]
NoFidelityCheck = Annotated[
    bool,
    option(
        "--no-fidelity-check",
        panel=MODEL,
        metavar=" ",
        envvar="NSP_NO_FIDELITY_CHECK",
        show_default=False,
        help="Write results even if colours or the border are shifted; by default these are refused.",
    ),
]
NoStamp = Annotated[
    bool, switch("--no-stamp", panel=IN_OUT, help="Do not add version, model and settings to the history in XMP.")
]
Preserve = Annotated[
    bool,
    switch(
        "--preserve", panel=IN_OUT, help="Copy the photo's permissions, extended attributes and times to its result."
    ),
]
Strength = Annotated[
    str,
    option(
        "--strength",
        panel=LOOK,
        metavar="0..100|auto",
        help="Set the strength in percent: 0 keeps the photo, 100 is the full effect; auto depends on the noise.",
    ),
]
Luma = Annotated[
    float,
    option(
        "--luma",
        panel=LOOK,
        metavar="0..100",
        help="Apply this percentage of --strength to brightness (grain, detail).",
    ),
]
Chroma = Annotated[
    float,
    option("--chroma", panel=LOOK, metavar="0..100", help="Apply this percentage of --strength to colour (blotches)."),
]
Noise = Annotated[
    float | None,
    option(
        "--noise",
        panel=LOOK,
        metavar="0..255",
        help="Set the luma noise level, as `nsp inspect` prints it (white is 255); higher removes more.",
        show_default="measured",
    ),
]
RawWb = Annotated[
    WhiteBalance,
    option("--raw-wb", panel=RAW, metavar="NAME", help="Set the white balance: camera, auto or daylight."),
]
RawExposure = Annotated[
    float,
    option("--raw-exposure", panel=RAW, metavar="-5..5", help="Brighten by this number of stops (negative: darken)."),
]
Model = Annotated[
    str | None,
    option(
        "-m",
        "--model",
        panel=MODEL,
        metavar="MODEL",
        help="Use a model of `nsp models`, or a .safetensors or .onnx file given by its path.",
        show_default="quick; for sr fast-sr",
    ),
]
Blind = Annotated[
    int | None,
    option(
        "--blind",
        panel=MODEL,
        metavar="0..5",
        help="Set the blind-spot radius k at test time, for AT-BSN models: (2k-1)x(2k-1) pixels are masked (0: none).",
        show_default="the model's",
    ),
]
CoarseChroma = Annotated[
    bool | None,
    option(
        "--coarse-chroma/--no-coarse-chroma",
        panel=MODEL,
        help="Denoise the photo at half its size, too, and take the coarse part of its colour from there: fewer "
        "blotches of colour, up to two fifths more time.",
        show_default="the model's; off for fast and quick",
    ),
]
Tile = Annotated[
    int,
    option("-t", "--tile", panel=MODEL, metavar="PIXELS", help="Set the side of a tile; 0 chooses it by free memory."),
]
Device = Annotated[
    str,
    option(
        "--device",
        panel=MODEL,
        metavar="DEVICE",
        envvar="NSP_DEVICE",
        help="Run on this device: auto (a GPU if there is one), cuda, cuda:1, mps or cpu.",
    ),
]
Precision = Annotated[
    spec.Precision,
    option(
        "--precision",
        panel=MODEL,
        metavar="FORMAT",
        help="Compute in this number format: auto (by model and device), fp32, bf16, fp16 (GPU) or int8 (models that "
        "ship, and .onnx files in int8, on a CPU).",
    ),
]
Backend = Annotated[
    spec.BackendName,
    option(
        "--backend",
        panel=MODEL,
        metavar="NAME",
        help="Use this runtime: auto (by model and device), torch, onnx or openvino.",
    ),
]
Recursive = Annotated[bool, switch("-r", "--recursive", panel=BATCH, help="Search sub-folders too.")]
Include = Annotated[
    list[str] | None,
    option("--include", panel=BATCH, metavar="GLOB", help="Only process files that match, e.g. '*.nef' (repeatable)."),
]
Exclude = Annotated[
    list[str] | None,
    option(
        "--exclude",
        panel=BATCH,
        metavar="GLOB",
        help="Skip files and folders that match, e.g. 'previews' (repeatable).",
    ),
]
Jobs = Annotated[
    int,
    option(
        "-j", "--jobs", panel=BATCH, metavar="N", help="Use N threads to read and N to write while the network runs."
    ),
]
Report = Annotated[
    Path | None,
    option("--report", panel=BATCH, metavar="FILE.html", help="Write a page that shows photos before and after."),
]
JsonLines = Annotated[bool, switch("--json", panel=MESSAGES, help="Print one JSON object for each photo on stdout.")]
DryRun = Annotated[bool, switch("--dry-run", panel=BATCH, help="List what would be written; write nothing.")]
Quiet = Annotated[bool, switch("--quiet", panel=MESSAGES, help="Print errors only.")]
Verbose = Annotated[bool, switch("--verbose", panel=MESSAGES, help="Print tracebacks of errors.")]
Json = Annotated[bool, switch("--json", panel=MESSAGES, help="Print JSON on stdout.")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)]
Overwrite = Annotated[bool, switch("--overwrite", panel=IN_OUT, help="Replace a file that exists.")]


def blend_options(strength: str, luma: float, chroma: float, noise: float | None = None) -> BlendOptions:
    """Convert --strength, --luma, --chroma and --noise to options. Raises `UsageError`."""
    try:
        return BlendOptions("auto" if strength == "auto" else float(strength), luma, chroma, noise)
    except ValueError as error:
        raise UsageError(f"--strength must be a number from 0 to 100 or auto, got '{strength}'.") from error

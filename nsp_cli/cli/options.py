"""Flags that several commands share, spelled once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsp_cli.engine.options import BlendOptions, IfExists
from nsp_cli.errors import UsageError
from nsp_cli.model import spec


class Backends(StrEnum):
    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"
    OPENVINO = "openvino"


class RawWhiteBalance(StrEnum):
    """See `image.RawOptions`."""

    CAMERA = "camera"
    AUTO = "auto"
    DAYLIGHT = "daylight"


Model = Annotated[
    str | None,
    typer.Option("-m", "--model", help="A name of `nsp models`, or the path of a .safetensors or .onnx file."),
]
Tile = Annotated[int, typer.Option("-t", "--tile", help="Side of a tile in pixels; 0: from free memory.")]
Device = Annotated[str, typer.Option("--device", envvar="NSP_DEVICE", help="auto, cuda, mps or cpu.")]
Precision = Annotated[spec.Precision, typer.Option("--precision", help="Number format of the network.")]
Backend = Annotated[Backends, typer.Option("--backend", help="Runtime; the model's file decides by itself.")]
Blind = Annotated[
    int | None,
    typer.Option(
        "--blind",
        min=0,
        max=5,
        help="For models with a blind spot to choose: k, which hides (2k − 1)² pixels; 0: none.",
    ),
]
OutputPath = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Where to write: a file for one photo, else a folder.",
        show_default=False,
    ),
]
Strength = Annotated[
    str,
    typer.Option(
        "--strength", metavar="0..100|auto", help="0 keeps the photo, 100 is the whole effect; auto measures the noise."
    ),
]
Luma = Annotated[float, typer.Option("--luma", help="0..100, of the effect on brightness (grain, detail).")]
Chroma = Annotated[float, typer.Option("--chroma", help="0..100, of the effect on colour (blotches).")]
Noise = Annotated[
    float | None,
    typer.Option(
        "--noise",
        metavar="0..255",
        help="The photo's luma noise as of `nsp inspect`, if you know better; more takes more away. "
        "For models that ask.",
    ),
]
Exists = Annotated[
    IfExists | None,
    typer.Option("--if-exists", help="For an output that exists; default: fail for one file, skip for a folder."),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Take a folder's sub-folders too.")]
Format = Annotated[
    str | None,
    typer.Option(
        "-f", "--format", help="png, jpeg, tiff, webp, or dng for RAW photos; default: the input's, tiff for RAW."
    ),
]
RawWb = Annotated[RawWhiteBalance, typer.Option("--raw-wb", help="White balance of RAW photos.")]
RawExposure = Annotated[float, typer.Option("--raw-exposure", help="Stops to brighten RAW photos by, -5 to 5.")]
Quality = Annotated[int, typer.Option("-q", "--quality", help="Of JPEG and WebP.")]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="Leave out all metadata but colour profile and orientation.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Threads that read ahead, and as many that write.")]
Include = Annotated[
    list[str] | None, typer.Option("--include", help="Of a folder only what matches, as in '*.nef'; may be repeated.")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", help="Of a folder all but what matches, as in 'previews'.")
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page that shows before and after.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object a photo on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="IN [OUT]",
        help="A photo, a folder, or several photos; then where to write: a file for one photo, else a folder. "
        "Without OUT the result is IN's name with _nsp, beside it. `-` is a pipe.",
        show_default=False,
    ),
]


def blend_options(strength: str, luma: float, chroma: float, noise: float | None = None) -> BlendOptions:
    """Convert --strength, --luma, --chroma and --noise to options. Raises `UsageError`."""
    try:
        return BlendOptions("auto" if strength == "auto" else float(strength), luma, chroma, noise)
    except ValueError as error:
        raise UsageError(f"--strength must be a number from 0 to 100 or auto, got '{strength}'.") from error


Output = Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]

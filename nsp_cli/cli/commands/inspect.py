"""`nsp inspect`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.plan import list_photos
from nsp_cli.cli.common_flags import option
from nsp_cli.cli.console import complain, err, out
from nsp_cli.cli.help_panels import IN_OUT
from nsp_cli.errors import InputError, OutputError, UsageError
from nsp_cli.model.spec import Precision
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists

if TYPE_CHECKING:
    from nsp_cli.engine.backends.base import Backend
    from nsp_cli.image import Frame


Residual = Annotated[
    Path | None,
    option(
        "--residual",
        panel=IN_OUT,
        metavar="FILE",
        help="Write a picture of what denoising removes, amplified (for one photo).",
    ),
]


def inspect(
    photos: common_flags.PhotosAndFolders,
    residual: Residual = None,
    model: common_flags.Model = None,
    tile: common_flags.Tile = 0,
    device: common_flags.Device = "auto",
    precision: common_flags.Precision = Precision.AUTO,
    as_json: common_flags.Json = False,
    verbose: common_flags.Verbose = False,
) -> None:
    """Measure the noise of photos.

    Prints its level and correlation length in luma and in chroma, and the strength that --strength auto would choose.
    """
    from nsp_cli.api import load_backend

    found, unread = list_photos(photos)
    if residual is not None and len(found) != 1:
        raise UsageError(f"--residual is one picture for one photo, got {len(found)} photos.")
    if residual is not None and exists(residual):
        raise UsageError(f"{residual} exists already; choose another name.")
    if residual is not None:
        check_place(residual)
    about = _model(model)
    ready = load_backend(model, device=device, precision=precision)
    rows: list[dict[str, Any]] = []
    failed = False
    for path in found:
        try:
            rows.append(_row(path, residual, ready, tile))
        except (InputError, OutputError) as error:
            complain(str(error))
            failed = True
    if as_json:
        out.print_json(json.dumps({"model": about, "photos": rows, "unread": unread}))
    elif rows:
        _print_table(rows, about)
    if unread:
        complain(unread_sentence(unread))
    if failed or unread:
        raise typer.Exit(1)


def _model(model: str | None) -> dict[str, Any]:
    """Collect the properties of a model from the manifest or from its own file."""
    from nsp_cli.model import registry

    path = registry.resolve(model)
    own = registry.ModelInfo(path.stem, path, photos="your own")
    info = next((info for info in registry.shipped() if info.path == path), own)
    about = {
        key: value
        for key, value in dataclasses.asdict(info).items()
        if key not in ("path", "default_for", "graphs", "sha256")
    }
    if path.suffix == ".safetensors":
        from nsp_cli.model.checkpoint import read_spec

        about["training"] = dict(read_spec(path).training)
    return about


def _row(path: Path, residual: Path | None, backend: Backend, tile: int) -> dict[str, Any]:
    """Measure one photo for JSON and the table; write the picture of what is removed if `residual` is given."""
    from nsp_cli.cli.batch.stamp import read_stamps
    from nsp_cli.engine.auto_strength import resolve_blend
    from nsp_cli.engine.options import BlendOptions
    from nsp_cli.image import read
    from nsp_cli.noise.estimate import NoiseEstimate

    frame = read(path)
    blend = resolve_blend(BlendOptions("auto"), frame, backend)
    noise = blend.measured or NoiseEstimate()
    row: dict[str, Any] = {
        "photo": str(path),
        "height": frame.size[0],
        "width": frame.size[1],
        **{key: round(value, 2) for key, value in dataclasses.asdict(noise).items()},
        "luma_reach": round(noise.luma_correlation_length, 2),  # former names, for one version
        "chroma_reach": round(noise.chroma_correlation_length, 2),
        "may_be_texture": noise.may_be_texture,
        "trusted_luma": round(noise.trusted_luma, 2),
        "strength": round(blend.strength, 1),
        "stamps": [dataclasses.asdict(stamp) for stamp in read_stamps(path)],
    }
    if residual is not None:
        row |= {"residual": str(residual), "factor": _write_residual(frame, residual, backend, tile)}
    return row


def _write_residual(frame: Frame, target: Path, backend: Backend, tile: int) -> int:
    from nsp_cli.api import denoise
    from nsp_cli.engine.blending import residual_picture
    from nsp_cli.image import Frame, to_unit, write

    denoised = denoise(frame, backend=backend, tile=tile)
    picture, factor = residual_picture(to_unit(frame.pixels), to_unit(denoised.pixels))
    write(Frame(picture), target)
    return factor


def _print_table(rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Print the measurements as a table, and explain the columns and marks."""
    from rich.table import Table

    from nsp_cli.cli.batch.stamp import Stamp
    from nsp_cli.noise.estimate import CORRELATION_LEVEL

    names = ("photo", "luma noise", "chroma noise", "luma corr. length", "chroma corr. length", "auto strength")
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        values = (
            f"{row['luma']:.1f}{'?' if row['may_be_texture'] else ''}",
            f"{row['chroma']:.1f}",
            f"{row['luma_correlation_length']:.1f}",
            f"{row['chroma_correlation_length']:.1f}",
        )
        table.add_row(Path(row["photo"]).name, *values, f"{row['strength']:.0f}")
    out.print(table)
    err.print(
        "Noise: standard deviation, where white is 255; chroma noise is that of R − Y and B − Y. Correlation length: "
        f"distance in pixels at which the noise's autocorrelation falls below {CORRELATION_LEVEL}."
    )
    if any(row["may_be_texture"] for row in rows):
        err.print(
            "?: luma noise far above chroma noise may be fine texture (a lawn, bricks, fabric). "
            "Compare the result with that of --noise 3."
        )
    err.print(f"Model {about['name']}: trained on {about['photos']}.")
    for row in rows:
        if "factor" in row:
            err.print(f"{row['residual']}: denoised minus input, {row['factor']} times, around middle grey")
        for values in row["stamps"]:
            err.print(f"{row['photo']} was made by {Stamp(**values).sentence()}.")

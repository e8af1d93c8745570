"""`nsp compare`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.plan import list_photos
from nsp_cli.cli.common_flags import option
from nsp_cli.cli.console import complain, err, progress
from nsp_cli.cli.help_panels import IN_OUT
from nsp_cli.errors import InputError, UsageError
from nsp_cli.model.spec import Precision
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists

if TYPE_CHECKING:
    from nsp_cli.cli.report.comparison import Comparison
    from nsp_cli.engine.backends.base import Backend

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model of `nsp models`, or a file.", show_default=False)]
Page = Annotated[Path, option("-o", "--output", panel=IN_OUT, metavar="FILE.html", help="Write the page here.")]


def compare(
    first: Model,
    second: Model,
    photos: common_flags.PhotosAndFolders,
    output: Page = Path("compare.html"),
    tile: common_flags.Tile = 0,
    device: common_flags.Device = "auto",
    precision: common_flags.Precision = Precision.AUTO,
    verbose: common_flags.Verbose = False,
) -> None:
    """Write a page on which two models are compared blind.

    Their results are side by side in random order; the models' names are shown at the end.
    """
    from random import Random

    from nsp_cli.api import load_backend
    from nsp_cli.cli.report.comparison import Comparison

    if first == second:
        raise UsageError(f"A comparison needs two models, got {first} twice.")
    _check(output)
    found, unread = list_photos(photos)
    models = (
        load_backend(first, device=device, precision=precision),
        load_backend(second, device=device, precision=precision),
    )
    page, shown = Comparison((first, second), Random()), 0
    with progress(len(found), "photos") as reporter:
        for path in found:
            started = time.monotonic()
            try:
                _add(page, path, models, tile)
            except InputError as error:
                complain(str(error))
            else:
                shown += 1
                reporter.line(f"{path} ({time.monotonic() - started:.1f} s)")
            reporter.done()
    if shown:
        page.write(output)
        err.print(f"Open {output} in a browser; it shows {shown} of {len(found)} photos.")
    if unread:
        complain(unread_sentence(unread))
    if shown < len(found) or unread:
        raise typer.Exit(1)


def _check(page: Path) -> None:
    """Raise `UsageError` for a page that cannot be written, or that is somebody else's."""
    from nsp_cli.cli.report.comparison import is_comparison

    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output must end in .html, got {page}.")
    check_place(page)
    if exists(page) and not is_comparison(page):
        raise UsageError(f"{page} exists and is not a comparison of nsp; choose another name with -o.")


def _add(page: Comparison, path: Path, models: tuple[Backend, Backend], tile: int) -> None:
    from nsp_cli.api import denoise
    from nsp_cli.image import read

    photo = read(path)
    one, other = (denoise(photo, backend=model, tile=tile) for model in models)
    page.add(path, photo, (one, other))

"""`nsp watch`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli.common_flags import option
from nsp_cli.cli.flag_decorator import takes
from nsp_cli.cli.help_panels import BATCH
from nsp_cli.cli.photo_flags import PhotoFlags
from nsp_cli.engine.options import ModelOptions
from nsp_cli.errors import NoInputError, UsageError
from nsp_cli.model.spec import Task
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import is_folder

if TYPE_CHECKING:
    from nsp_cli.engine.backends.base import Backend


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where photos appear.", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write to.", show_default=False)]
Settle = Annotated[
    float,
    option("--settle", panel=BATCH, metavar="SECONDS", help="Process a file when it has not changed for this time."),
]


@takes(PhotoFlags, without=("output", "dry_run"))
def watch(folder: Folder, out: Out, settle: Settle = 2.0, *, flags: PhotoFlags) -> None:
    """Denoise photos as they appear in a folder (tethering, imports), until Ctrl-C."""
    from nsp_cli.api import open_backend
    from nsp_cli.cli.batch import session
    from nsp_cli.cli.batch.like import flags_like
    from nsp_cli.cli.batch.photo import photo_step
    from nsp_cli.cli.batch.plan import plan_folder
    from nsp_cli.cli.batch.watching import run_watch
    from nsp_cli.cli.batch.work import Work

    if not 0 < settle < inf:
        raise UsageError(f"--settle must be above 0 seconds, got {settle:g}.")
    if not is_folder(folder):
        raise UsageError(f"There is no folder {folder}.")
    batch = flags.batch()
    if flags.like is not None:
        flags = replace(flags, **flags_like(flags.like, Task.DENOISE, flags.given))
    settings, profiles = flags.options(Task.DENOISE, None, many=True), flags.profiles()

    def find_works() -> list[Work]:
        if not is_folder(folder):
            raise NoInputError(f"The folder {folder} is gone.")
        return plan_folder(folder, out, format=flags.format, batch=batch)

    # Wrong folders and formats are noticed before the model is loaded.
    session.check_report(batch, find_works(), if_exists=flags.if_exists)
    check_place(out / "photo")

    @cache
    def opened(model: ModelOptions) -> Backend:
        return open_backend(replace(settings, model=model), inf)

    opened(settings.model)
    step = photo_step(opened, settings, profiles)
    code = run_watch(folder, find_works, step, settings, batch, settle=settle)
    if code:
        raise typer.Exit(code)

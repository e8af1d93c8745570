"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.common_flags import option, switch
from nsp_cli.cli.flag_decorator import takes
from nsp_cli.cli.help_panels import IN_OUT
from nsp_cli.cli.photo_flags import PhotoFlags
from nsp_cli.engine.options import ModelOptions
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import SrMode, Task

if TYPE_CHECKING:
    from nsp_cli.cli.batch.batch_options import BatchOptions
    from nsp_cli.cli.batch.work import Work
    from nsp_cli.engine.backends.base import Backend

ENLARGING = "Enlarging"
"""A panel of `nsp sr --help`."""


InPlace = Annotated[
    bool,
    switch("--in-place", panel=IN_OUT, help="Replace the photo by the result; the original is kept as FILE.orig."),
]
NoBackup = Annotated[bool, switch("--no-backup", panel=IN_OUT, help="With --in-place: keep no FILE.orig.")]
Scale = Annotated[
    int,
    option(
        "-s",
        "--scale",
        panel=ENLARGING,
        metavar="N",
        help="Enlarge both sides N times; the model must have this scale (those that ship: 2).",
    ),
]
Mode = Annotated[
    SrMode | None,
    option(
        "--mode",
        panel=ENLARGING,
        metavar="MODE",
        help="Enlarge by this mode: direct (one pass on the noisy photo), shuffle (four predictions, interleaved), "
        "or shuffle-denoise (then denoised once more).",
        show_default="direct",
    ),
]


@takes(PhotoFlags)
def denoise(
    photos: common_flags.Photos, in_place: InPlace = False, no_backup: NoBackup = False, *, flags: PhotoFlags
) -> None:
    """Remove the noise of a photo, a folder of photos, or several photos."""
    _run(photos, flags, Task.DENOISE, in_place=in_place, backup=not no_backup)


@takes(PhotoFlags, without=("no_config",))
def sr(photos: common_flags.Photos, scale: Scale = 2, mode: Mode = None, *, flags: PhotoFlags) -> None:
    """Denoise and enlarge noisy photos."""
    from nsp_cli.api import DEFAULT_SR_MODE

    _run(photos, flags, DEFAULT_SR_MODE if mode is None else Task(mode), scale)


def _run(
    photos: list[str],
    flags: PhotoFlags,
    task: Task,
    scale: int | None = None,
    *,
    in_place: bool = False,
    backup: bool = True,
) -> None:
    """Process the photos of a command, or show what would be written, and exit with its code.

    The model is opened before a photo is processed, and only if one is to be processed.
    """
    from nsp_cli.api import open_backend
    from nsp_cli.cli.batch import session
    from nsp_cli.cli.batch.like import flags_like
    from nsp_cli.cli.batch.photo import PIPE, can_be_written, photo_step

    batch = flags.batch()
    if flags.like is not None:
        values = flags_like(flags.like, task, flags.given)
        task, scale = values.pop("mode", task), values.pop("scale", scale)
        flags = replace(flags, **values)
    piped = photos[0] == PIPE
    works, many = _plan(photos, flags, batch, in_place=in_place, backup=backup)
    session.check_report(batch, works, piped=piped, if_exists=flags.if_exists)
    settings = flags.options(task, scale, many=many, in_place=in_place, backup=backup)
    profiles = None if task is not Task.DENOISE else flags.profiles()

    @cache
    def opened(model: ModelOptions) -> Backend:
        return open_backend(replace(settings, model=model), inf if piped else _megapixels(works))

    if piped or batch.dry_run:
        opened(settings.model)
    step = photo_step(opened, settings, profiles)
    if batch.dry_run:
        code = session.show_plan(works, opened, settings, batch, profiles)
    elif piped:
        code = session.run_pipe(step, settings, batch)
    else:
        used = any(can_be_written(work, settings.output) for work in works)
        code = session.run_batch(works, step, settings, batch, partial(opened, settings.model) if used else None)
    if code:
        raise typer.Exit(code)


def _megapixels(works: Sequence[Work], most: float = 100) -> float:
    """Add up the sizes of photos by their headers; infinite if a header has none, or from `most` on."""
    from nsp_cli.image.probe import probe_size

    total = 0.0
    for work in works:
        if work.problem is not None:
            continue
        size = probe_size(work.source)
        total += inf if size is None else size[0] * size[1] / 1e6
        if total >= most:
            return inf
    return total


def _plan(
    photos: list[str], flags: PhotoFlags, batch: BatchOptions, *, in_place: bool, backup: bool
) -> tuple[list[Work], bool]:
    """Pair the photos with their outputs, none for a pipe; also return whether there may be several photos.

    Raises
    ------
    UsageError
        The flags do not go together, see also `plan.plan`.
    NoInputError
        There is nothing to read.
    """
    from nsp_cli.cli.batch.in_place import plan_in_place
    from nsp_cli.cli.batch.photo import PIPE
    from nsp_cli.cli.batch.plan import plan

    piped = photos[0] == PIPE
    if piped and (photos[1:] not in ([], [PIPE]) or flags.output is not None):
        raise UsageError("With `-` the result goes to stdout; leave out other paths and --output.")
    if in_place or not backup:
        if not in_place or piped or flags.output or flags.format or flags.if_exists:
            raise UsageError(
                "--in-place replaces files, in their own format: use it without -, --output, --format and --if-exists"
                " (--no-backup goes with --in-place only)."
            )
        return plan_in_place(photos), len(photos) > 1
    return ([], False) if piped else plan(photos, output=flags.output, format=flags.format, batch=batch)

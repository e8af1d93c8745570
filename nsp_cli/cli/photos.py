"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import options, team
from nsp_cli.cli.batching import Batching, Filter
from nsp_cli.cli.console import Reporter
from nsp_cli.errors import UsageError
from nsp_cli.spec import Task

if TYPE_CHECKING:
    from nsp_cli.backends.base import Backend
    from nsp_cli.image import Frame


class SrMode(StrEnum):
    """See `spec.Task`."""

    DIRECT = "direct"
    SHUFFLE = "shuffle"
    SHUFFLE_DENOISE = "shuffle-denoise"


def denoise(
    photos: options.Photos,
    model: options.Model = None,
    strength: options.Strength = 100,
    tile: options.Tile = 0,
    recursive: options.Recursive = False,
    format: options.Format = None,
    quality: options.Quality = 95,
    if_exists: options.Exists = None,
    no_metadata: options.NoMetadata = False,
    device: options.Device = "auto",
    precision: options.Precision = options.Precisions.AUTO,
    backend: options.Backend = options.Backends.AUTO,
    jobs: options.Jobs = 2,
    include: options.Include = None,
    exclude: options.Exclude = None,
    report: options.Report = None,
    as_json: options.JsonLines = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove the noise of a photo, a folder of photos, or several photos."""
    from nsp_cli.api import load_backend

    def opened() -> Backend:
        return load_backend(
            model, Task.DENOISE, device=team.own_device(device, model), precision=precision, backend=backend
        )

    settings: dict[str, object] = {
        "task": "denoise",
        "strength": strength,
        "tile": tile,
        "device": device,
        "precision": precision,
    }
    batching = Batching(jobs, Filter(include or (), exclude or ()), report, as_json, dry_run, quiet, verbose)
    _run(photos, opened, model, settings, strength, tile, recursive, format, quality, if_exists, no_metadata, batching)


def sr(
    photos: options.Photos,
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, help="Times larger; the model says which it can.")] = 2,
    mode: Annotated[SrMode | None, typer.Option("--mode", help="How; default: what measures best.")] = None,
    model: options.Model = None,
    strength: options.Strength = 100,
    tile: options.Tile = 0,
    recursive: options.Recursive = False,
    format: options.Format = None,
    quality: options.Quality = 95,
    if_exists: options.Exists = None,
    no_metadata: options.NoMetadata = False,
    device: options.Device = "auto",
    precision: options.Precision = options.Precisions.AUTO,
    backend: options.Backend = options.Backends.AUTO,
    jobs: options.Jobs = 2,
    include: options.Include = None,
    exclude: options.Exclude = None,
    report: options.Report = None,
    as_json: options.JsonLines = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Denoise and enlarge noisy photos."""
    from nsp_cli.api import DEFAULT_SR_MODE, load_backend

    def opened() -> Backend:
        task = DEFAULT_SR_MODE if mode is None else Task(mode)
        ready = load_backend(model, task, device=team.own_device(device, model), precision=precision, backend=backend)
        if ready.spec.scale != scale:
            raise UsageError(f"This model enlarges {ready.spec.scale} times, got --scale {scale}.")
        return ready

    settings: dict[str, object] = {"task": "sr", "scale": scale, "mode": mode or DEFAULT_SR_MODE, "strength": strength}
    settings |= {"tile": tile, "device": device, "precision": precision}
    batching = Batching(jobs, Filter(include or (), exclude or ()), report, as_json, dry_run, quiet, verbose)
    _run(photos, opened, model, settings, strength, tile, recursive, format, quality, if_exists, no_metadata, batching)


def _run(
    photos: list[str],
    opened: Callable[[], Backend],
    model: str | None,
    settings: dict[str, object],
    strength: float,
    tile: int,
    recursive: bool,
    format: str | None,
    quality: int,
    if_exists: options.IfExists | None,
    no_metadata: bool,
    batching: Batching,
) -> None:
    from nsp_cli import engine
    from nsp_cli.cli import batch, session
    from nsp_cli.cli.events import recipe

    piped = photos[0] == batch.PIPE
    if piped and photos[1:] not in ([], [batch.PIPE]):
        raise UsageError("A pipe goes to a pipe: `nsp denoise - < in.png > out.png`.")
    session.check(batching, piped=piped)
    planned = ([], False) if piped else batch.plan(photos, recursive=recursive, format=format, filter=batching.filter)
    works, many = planned
    chosen = if_exists or (options.IfExists.SKIP if many else options.IfExists.FAIL)
    writing = batch.Writing(quality, format, not no_metadata, chosen)
    settings |= {"quality": quality, "format": format, "metadata": not no_metadata, "if_exists": chosen}
    used = recipe(model, **settings)
    if batching.dry_run:
        session.show_plan(works, opened(), writing, used, batching)
        return
    backend = opened()

    def change(frame: Frame, reporter: Reporter) -> Frame:
        return engine.process(frame, backend, strength=strength, tile=tile, report=reporter.within)

    if piped:
        session.run_pipe(change, writing, used, batching)
    elif code := session.run_batch(works, change, writing, used, batching):
        raise typer.Exit(code)

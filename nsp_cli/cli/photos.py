"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    from nsp_cli.strength import Wanted


class SrMode(StrEnum):
    """See `spec.Task`."""

    DIRECT = "direct"
    SHUFFLE = "shuffle"
    SHUFFLE_DENOISE = "shuffle-denoise"


def denoise(
    photos: options.Photos,
    model: options.Model = None,
    strength: options.Strength = "100",
    luma: options.Luma = 100,
    chroma: options.Chroma = 100,
    blind: options.Blind = None,
    tile: options.Tile = 0,
    recursive: options.Recursive = False,
    format: options.Format = None,
    raw_wb: options.RawWb = options.RawWhiteBalance.CAMERA,
    raw_exposure: options.RawExposure = 0,
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

    settings = options.wanted_settings(blind)

    def opened() -> Backend:
        own = team.own_device(device, model)
        return load_backend(model, Task.DENOISE, device=own, precision=precision, backend=backend, settings=settings)

    looks = options.wanted_looks(strength, luma, chroma)
    batching = Batching(jobs, Filter(include or (), exclude or ()), report, as_json, dry_run, quiet, verbose)
    writing = _Writing(format, quality, if_exists, not no_metadata, (raw_wb, raw_exposure))
    said = {"tile": tile, "device": device, "precision": precision, **settings}
    _run(photos, recursive, _Inference(opened, model, Task.DENOISE, looks, tile, said), writing, batching)


def sr(
    photos: options.Photos,
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, help="Times larger; the model says which it can.")] = 2,
    mode: Annotated[SrMode | None, typer.Option("--mode", help="How; default: what measures best.")] = None,
    model: options.Model = None,
    strength: options.Strength = "100",
    luma: options.Luma = 100,
    chroma: options.Chroma = 100,
    tile: options.Tile = 0,
    recursive: options.Recursive = False,
    format: options.Format = None,
    raw_wb: options.RawWb = options.RawWhiteBalance.CAMERA,
    raw_exposure: options.RawExposure = 0,
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

    task = DEFAULT_SR_MODE if mode is None else Task(mode)

    def opened() -> Backend:
        ready = load_backend(model, task, device=team.own_device(device, model), precision=precision, backend=backend)
        if ready.spec.scale != scale:
            raise UsageError(f"This model enlarges {ready.spec.scale} times, got --scale {scale}.")
        return ready

    looks = options.wanted_looks(strength, luma, chroma)
    batching = Batching(jobs, Filter(include or (), exclude or ()), report, as_json, dry_run, quiet, verbose)
    writing = _Writing(format, quality, if_exists, not no_metadata, (raw_wb, raw_exposure))
    said = {"scale": scale, "tile": tile, "device": device, "precision": precision}
    _run(photos, recursive, _Inference(opened, model, task, looks, tile, said), writing, batching)


@dataclass(frozen=True)
class _Inference:
    """What is done with the pixels; `said` is the rest of it, as a report names it."""

    opened: Callable[[], Backend]
    model: str | None
    task: Task
    looks: Wanted
    tile: int
    said: Mapping[str, object]


@dataclass(frozen=True)
class _Writing:
    """What was said of files, before it is known whether there are several."""

    format: str | None
    quality: int
    if_exists: options.IfExists | None
    metadata: bool
    raw: tuple[options.RawWhiteBalance, float]


def _run(photos: list[str], recursive: bool, inference: _Inference, wanted: _Writing, batching: Batching) -> None:
    from nsp_cli import engine
    from nsp_cli.cli import batch, session
    from nsp_cli.cli.events import recipe
    from nsp_cli.image import Develop

    piped = photos[0] == batch.PIPE
    if piped and photos[1:] not in ([], [batch.PIPE]):
        raise UsageError("A pipe goes to a pipe: `nsp denoise - < in.png > out.png`.")
    session.check(batching, piped=piped)
    planned = (
        ([], False) if piped else batch.plan(photos, recursive=recursive, format=wanted.format, filter=batching.filter)
    )
    works, many = planned
    chosen = wanted.if_exists or (options.IfExists.SKIP if many else options.IfExists.FAIL)
    white_balance, exposure = wanted.raw
    develop = Develop(white_balance.value, exposure)
    writing = batch.Writing(wanted.quality, wanted.format, wanted.metadata, chosen, develop)
    used = recipe(
        inference.model,
        inference.task,
        **inference.said,
        **dataclasses.asdict(inference.looks),
        quality=wanted.quality,
        format=wanted.format,
        metadata=wanted.metadata,
        if_exists=chosen,
    )
    if batching.dry_run:
        session.show_plan(works, inference.opened(), writing, used, batching)
        return
    backend = inference.opened()

    def change(frame: Frame, reporter: Reporter) -> Frame:
        choice = inference.looks.choose(frame, backend)
        if choice.noise is not None:
            reporter.note("strength", round(choice.looks.strength, 1))
            reporter.note("noise", dataclasses.asdict(choice.noise))
            reporter.line(choice.sentence())
        return engine.process(frame, backend, looks=choice.looks, tile=inference.tile, report=reporter.within)

    if piped:
        session.run_pipe(change, writing, used, batching)
    elif code := session.run_batch(works, change, writing, used, batching):
        raise typer.Exit(code)

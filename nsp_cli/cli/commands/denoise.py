"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.batch import team
from nsp_cli.cli.batch.filter import Batching, Filter
from nsp_cli.cli.console import Reporter
from nsp_cli.cli.flags import takes
from nsp_cli.errors import UsageError
from nsp_cli.model.spec import Precision, Task

if TYPE_CHECKING:
    from nsp_cli.cli.batch.photo import Change, Writing
    from nsp_cli.engine.auto_strength import Wanted
    from nsp_cli.engine.backends.base import Backend
    from nsp_cli.image import Frame


SrMode = StrEnum("SrMode", {task.name: task.value for task in Task if task is not Task.DENOISE})
"""The tasks that enlarge."""


@dataclass(frozen=True)
class PhotoFlags:
    """What `nsp denoise` and `nsp sr` have in common, in the order of their help."""

    output: options.OutputPath = None
    model: options.Model = None
    strength: options.Strength = "100"
    luma: options.Luma = 100
    chroma: options.Chroma = 100
    noise: options.Noise = None
    blind: options.Blind = None
    tile: options.Tile = 0
    recursive: options.Recursive = False
    format: options.Format = None
    raw_wb: options.RawWb = options.RawWhiteBalance.CAMERA
    raw_exposure: options.RawExposure = 0
    quality: options.Quality = 95
    if_exists: options.Exists = None
    no_metadata: options.NoMetadata = False
    device: options.Device = "auto"
    precision: options.Precision = Precision.AUTO
    backend: options.Backend = options.Backends.AUTO
    jobs: options.Jobs = 2
    include: options.Include = None
    exclude: options.Exclude = None
    report: options.Report = None
    as_json: options.JsonLines = False
    dry_run: options.DryRun = False
    quiet: options.Quiet = False
    verbose: options.Verbose = False

    def open(self, task: Task, megapixels: float = inf) -> Backend:
        from nsp_cli.api import load_backend

        device = team.own_device(self.device, self.model)
        return load_backend(
            self.model,
            task,
            device=device,
            precision=self.precision,
            backend=self.backend,
            settings=options.wanted_settings(self.blind),
            megapixels=megapixels,
        )

    def batching(self) -> Batching:
        chosen = Filter(self.include or (), self.exclude or ())
        return Batching(self.jobs, chosen, self.report, self.as_json, self.dry_run, self.quiet, self.verbose)

    def writing(self, *, many: bool) -> Writing:
        """`many`: of a folder or several photos, which skips what exists unless told otherwise."""
        from nsp_cli.cli.batch.photo import Writing
        from nsp_cli.image import Develop

        chosen = self.if_exists or (options.IfExists.SKIP if many else options.IfExists.FAIL)
        develop = Develop(self.raw_wb.value, self.raw_exposure)
        return Writing(self.quality, self.format, not self.no_metadata, chosen, develop)


@takes(PhotoFlags)
def denoise(photos: options.Photos, flags: PhotoFlags) -> None:
    """Remove the noise of a photo, a folder of photos, or several photos."""
    _run(photos, flags, Task.DENOISE, partial(flags.open, Task.DENOISE))


@takes(PhotoFlags)
def sr(
    photos: options.Photos,
    scale: Annotated[int, typer.Option("-s", "--scale", min=2, help="Times larger; the model says which it can.")] = 2,
    mode: Annotated[  # pyright would have SrMode spelled out, a second time
        SrMode | None,  # pyright: ignore[reportInvalidTypeForm]
        typer.Option("--mode", help="How; default: what measures best."),
    ] = None,
    *,
    flags: PhotoFlags,
) -> None:
    """Denoise and enlarge noisy photos."""
    from nsp_cli.api import DEFAULT_SR_MODE

    task = DEFAULT_SR_MODE if mode is None else Task(mode)

    def opened(megapixels: float) -> Backend:
        ready = flags.open(task, megapixels)
        if ready.spec.scale != scale:
            raise UsageError(f"This model enlarges {ready.spec.scale} times, got --scale {scale}.")
        return ready

    _run(photos, flags, task, opened, scale=scale)


def _run(photos: list[str], flags: PhotoFlags, task: Task, opened: Callable[[float], Backend], **said: object) -> None:
    from nsp_cli.cli.batch import estimate, photo, session
    from nsp_cli.cli.batch.outcome import recipe
    from nsp_cli.cli.batch.plan import plan

    looks = options.wanted_looks(flags.strength, flags.luma, flags.chroma, flags.noise)
    batching = flags.batching()
    piped = photos[0] == photo.PIPE
    if piped and (photos[1:] not in ([], [photo.PIPE]) or flags.output is not None):
        raise UsageError("A pipe goes to a pipe: `nsp denoise - < in.png > out.png`.")
    session.check(batching, piped=piped, replace_any=flags.if_exists is options.IfExists.OVERWRITE)
    planned = (
        ([], False)
        if piped
        else plan(photos, output=flags.output, recursive=flags.recursive, format=flags.format, filter=batching.filter)
    )
    works, many = planned
    writing = flags.writing(many=many)
    used = recipe(
        flags.model,
        task,
        **said,
        **options.wanted_settings(flags.blind),
        tile=flags.tile,
        device=flags.device,
        precision=flags.precision,
        **dataclasses.asdict(looks),
        quality=writing.quality,
        format=writing.format,
        metadata=writing.keep_metadata,
        if_exists=writing.if_exists,
    )
    backend = opened(inf if piped else estimate.megapixels(works))
    if batching.dry_run:
        if code := session.show_plan(works, backend, writing, used, batching):
            raise typer.Exit(code)
        return
    change = _change(backend, looks, flags.tile)
    if piped:
        session.run_pipe(change, writing, used, batching)
    elif code := session.run_batch(works, change, writing, used, batching):
        raise typer.Exit(code)


def _change(backend: Backend, looks: Wanted, tile: int) -> Change:
    from nsp_cli.engine.process import process

    looks.check(backend)

    def change(frame: Frame, reporter: Reporter) -> Frame:
        choice = looks.choose(frame, backend)
        if choice.noise is not None:
            reporter.note("strength", round(choice.looks.strength, 1))
            reporter.note("noise", dataclasses.asdict(choice.noise))
            reporter.line(choice.sentence())
        return process(frame, backend, looks=choice.looks, noise=choice.told, tile=tile, report=reporter.within)

    return change

"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.batch.options import BatchOptions
from nsp_cli.cli.console import Reporter
from nsp_cli.cli.flags import takes
from nsp_cli.engine.options import DenoiseOptions, IfExists, ModelOptions, OutputOptions
from nsp_cli.errors import UsageError
from nsp_cli.image import RawOptions
from nsp_cli.model.spec import Precision, Task

if TYPE_CHECKING:
    from nsp_cli.cli.batch.photo import Change
    from nsp_cli.cli.batch.profiles import Profiles
    from nsp_cli.engine.backends.base import Backend
    from nsp_cli.image import Frame


SrMode = StrEnum("SrMode", {task.name: task.value for task in Task if task is not Task.DENOISE})
"""The tasks that enlarge."""


@dataclass(frozen=True)
class PhotoFlags:
    """Flags of `nsp denoise` and `nsp sr`, in the order of their help; `given`: names of those given."""

    output: options.OutputPath = None
    format: options.Format = None
    quality: options.Quality = 95
    if_exists: options.Exists = None
    no_metadata: options.NoMetadata = False
    no_stamp: options.NoStamp = False
    preserve: options.Preserve = False
    strength: options.Strength = "100"
    luma: options.Luma = 100
    chroma: options.Chroma = 100
    noise: options.Noise = None
    like: options.Like = None
    no_config: options.NoConfig = False
    raw_wb: options.RawWb = options.RawWhiteBalance.CAMERA
    raw_exposure: options.RawExposure = 0
    model: options.Model = None
    blind: options.Blind = None
    tile: options.Tile = 0
    device: options.Device = "auto"
    precision: options.Precision = Precision.AUTO
    backend: options.Backend = options.Backends.AUTO
    no_fidelity_check: options.NoFidelityCheck = False
    recursive: options.Recursive = False
    include: options.Include = None
    exclude: options.Exclude = None
    jobs: options.Jobs = 2
    report: options.Report = None
    as_json: options.JsonLines = False
    dry_run: options.DryRun = False
    quiet: options.Quiet = False
    verbose: options.Verbose = False
    given: frozenset[str] = frozenset()

    def batch(self) -> BatchOptions:
        """Build the batch options from the flags."""
        return BatchOptions(
            self.recursive,
            self.include or (),
            self.exclude or (),
            self.jobs,
            self.report,
            self.as_json,
            self.dry_run,
            self.quiet,
            self.verbose,
        )

    def profiles(self) -> Profiles | None:
        """Read the settings for cameras; None where there are none, or are not used. Raises `UsageError`."""
        from nsp_cli.cli.batch.profiles import read_profiles

        return None if self.no_config or self.like else read_profiles(self.given)

    def options(self, task: Task, scale: int | None, *, many: bool) -> DenoiseOptions:
        """Build the settings; by default `many` photos skip outputs that exist. Raises `UsageError`."""
        return DenoiseOptions(
            task,
            scale,
            self.tile,
            ModelOptions(self.model, self.device, self.precision, self.backend, self.blind),
            options.blend_options(self.strength, self.luma, self.chroma, self.noise),
            RawOptions(self.raw_wb.value, self.raw_exposure),
            OutputOptions(
                self.format,
                self.quality,
                not self.no_metadata,
                self.if_exists or (IfExists.SKIP if many else IfExists.FAIL),
                preserve=self.preserve,
                stamp=not (self.no_stamp or self.no_metadata),
                check_fidelity=not self.no_fidelity_check,
            ),
        )


@takes(PhotoFlags)
def denoise(
    photos: options.Photos,
    in_place: Annotated[
        bool,
        options.switch(
            "--in-place",
            panel=options.IN_OUT,
            help="Replace the photo by the result; the original is kept as FILE.orig.",
        ),
    ] = False,
    no_backup: Annotated[
        bool, options.switch("--no-backup", panel=options.IN_OUT, help="With --in-place: keep no FILE.orig.")
    ] = False,
    *,
    flags: PhotoFlags,
) -> None:
    """Remove the noise of a photo, a folder of photos, or several photos."""
    _run(photos, flags, Task.DENOISE, in_place=in_place, backup=not no_backup)


@takes(PhotoFlags, without=("no_config",))
def sr(
    photos: options.Photos,
    scale: Annotated[
        int, typer.Option("-s", "--scale", metavar="N", rich_help_panel=options.LOOK, help="Enlarge N times.")
    ] = 2,
    mode: Annotated[  # pyright would have SrMode spelled out, a second time
        SrMode | None,  # pyright: ignore[reportInvalidTypeForm]
        typer.Option(
            "--mode",
            metavar="MODE",
            rich_help_panel=options.LOOK,
            help="Enlarge by direct, shuffle or shuffle-denoise.",
            show_default="direct",
        ),
    ] = None,
    *,
    flags: PhotoFlags,
) -> None:
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
    from nsp_cli.api import open_backend
    from nsp_cli.cli.batch import estimate, session
    from nsp_cli.cli.batch.in_place import plan_in_place
    from nsp_cli.cli.batch.like import flags_like
    from nsp_cli.cli.batch.photo import PIPE, can_be_written
    from nsp_cli.cli.batch.plan import plan

    batch = flags.batch()
    if flags.like is not None:
        values = flags_like(flags.like, task, flags.given)
        task, scale = values.pop("mode", task), values.pop("scale", scale)
        flags = replace(flags, **values)
    piped = photos[0] == PIPE
    if piped and (photos[1:] not in ([], [PIPE]) or flags.output is not None):
        raise UsageError("A pipe goes to a pipe: `nsp denoise - < in.png > out.png`.")
    if in_place or not backup:
        if not in_place or piped or flags.output or flags.format or flags.if_exists:
            raise UsageError(
                "--in-place replaces files, in their own format: use it without -, --output, --format and --if-exists"
                " (--no-backup goes with --in-place only)."
            )
        works, many = plan_in_place(photos), len(photos) > 1
    else:
        works, many = ([], False) if piped else plan(photos, output=flags.output, format=flags.format, batch=batch)
    session.check(batch, works, piped=piped, if_exists=flags.if_exists)
    settings = flags.options(task, scale, many=many)
    settings = replace(settings, output=replace(settings.output, in_place=in_place, backup=backup))
    profiles = None if task is not Task.DENOISE else flags.profiles()

    @cache
    def opened(model: ModelOptions) -> Backend:
        return open_backend(replace(settings, model=model), inf if piped else estimate.megapixels(works))

    if piped or batch.dry_run or any(can_be_written(work, settings.output) for work in works):
        opened(settings.model)  # what is wrong with the model is known before a photo is read
    change = change_with(opened, settings, profiles)
    if batch.dry_run:
        code = session.show_plan(works, opened, settings, batch, profiles)
    elif piped:
        code = session.run_pipe(change, settings, batch)
    else:
        code = session.run_batch(works, change, settings, batch)
    if code:
        raise typer.Exit(code)


def change_with(
    opened: Callable[[ModelOptions], Backend], settings: DenoiseOptions, profiles: Profiles | None = None
) -> Change:
    """Return what a batch does with each photo: `api.denoise_frame`, with what was chosen for the photo reported."""
    from nsp_cli.api import denoise_frame
    from nsp_cli.cli.batch.stamp import add_stamp
    from nsp_cli.engine.fidelity import check_fidelity
    from nsp_cli.image.colour import conversion

    def change(frame: Frame, reporter: Reporter) -> Frame:
        chosen = settings
        if profiles is not None:
            chosen, notes = profiles.choose(frame.metadata.exif, settings)
            for name, value in notes.items():
                reporter.note(name, value)
            if notes:
                reporter.line(f"settings of {notes['profile']}")
        result, blend = denoise_frame(frame, opened(chosen.model), chosen, reporter.within)
        if chosen.output.check_fidelity:
            check_fidelity(frame.pixels, result.pixels, conversion(frame))
        measured: dict[str, object] = {}
        if blend.measured is not None:
            measured = {"strength": round(blend.strength, 1), "noise": round(blend.measured.luma, 2)}
            reporter.note("strength", measured["strength"])
            reporter.note("noise", asdict(blend.measured))
            reporter.line(blend.sentence())
        return add_stamp(result, chosen, measured) if chosen.output.stamp else result

    return change

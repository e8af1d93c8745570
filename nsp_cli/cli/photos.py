"""`nsp denoise` and `nsp sr`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.console import Reporter, err, out
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
    tile: options.Tile = 0,
    recursive: options.Recursive = False,
    format: options.Format = None,
    quality: options.Quality = 95,
    if_exists: options.Exists = None,
    no_metadata: options.NoMetadata = False,
    device: options.Device = "auto",
    precision: options.Precision = options.Precisions.AUTO,
    backend: options.Backend = options.Backends.AUTO,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Remove the noise of a photo, a folder of photos, or several photos."""
    from nsp_cli.api import load_backend

    def opened() -> Backend:
        return load_backend(model, Task.DENOISE, device=device, precision=precision, backend=backend)

    looks = options.wanted_looks(strength, luma, chroma)
    _run(photos, opened, looks, tile, recursive, format, quality, if_exists, no_metadata, dry_run, quiet, verbose)


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
    quality: options.Quality = 95,
    if_exists: options.Exists = None,
    no_metadata: options.NoMetadata = False,
    device: options.Device = "auto",
    precision: options.Precision = options.Precisions.AUTO,
    backend: options.Backend = options.Backends.AUTO,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Denoise and enlarge noisy photos."""
    from nsp_cli.api import DEFAULT_SR_MODE, load_backend

    def opened() -> Backend:
        task = DEFAULT_SR_MODE if mode is None else Task(mode)
        ready = load_backend(model, task, device=device, precision=precision, backend=backend)
        if ready.spec.scale != scale:
            raise UsageError(f"This model enlarges {ready.spec.scale} times, got --scale {scale}.")
        return ready

    looks = options.wanted_looks(strength, luma, chroma)
    _run(photos, opened, looks, tile, recursive, format, quality, if_exists, no_metadata, dry_run, quiet, verbose)


def _run(
    photos: list[str],
    opened: Callable[[], Backend],
    looks: Wanted,
    tile: int,
    recursive: bool,
    format: str | None,
    quality: int,
    if_exists: options.IfExists | None,
    no_metadata: bool,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from nsp_cli import engine
    from nsp_cli.cli import batch

    piped = photos[0] == batch.PIPE
    if piped and photos[1:] not in ([], [batch.PIPE]):
        raise UsageError("A pipe goes to a pipe: `nsp denoise - < in.png > out.png`.")
    works, many = ([], False) if piped else batch.plan(photos, recursive=recursive, format=format)
    chosen = if_exists or (options.IfExists.SKIP if many else options.IfExists.FAIL)
    writing = batch.Writing(quality, format, not no_metadata, chosen)
    if dry_run:
        for work in works:
            out.print(f"{work.source} -> {work.target}", markup=False)
        return
    backend = opened()

    def change(frame: Frame, reporter: Reporter | None = None) -> Frame:
        report = reporter.within if reporter is not None else lambda _: None
        choice = looks.choose(frame, backend)
        if choice.noise is not None and not quiet:
            (reporter.line if reporter is not None else err.print)(choice.sentence())
        return engine.process(frame, backend, looks=choice.looks, tile=tile, report=report)

    if piped:
        batch.run_pipe(change, writing)
    elif batch.run(works, change, writing, quiet=quiet, verbose=verbose):
        raise typer.Exit(1)

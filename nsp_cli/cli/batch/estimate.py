"""`--dry-run`: predict what would be read and written, and estimate the time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import typer

from nsp_cli.cli.batch.in_place import refuse_other_format
from nsp_cli.cli.batch.outcome import Outcome, Recipe, Status
from nsp_cli.cli.batch.photo import refuse_large, should_process
from nsp_cli.cli.batch.profiles import Profiles
from nsp_cli.cli.batch.work import Work
from nsp_cli.cli.console import plain
from nsp_cli.cli.flag_names import with_flags
from nsp_cli.engine.backends.base import Backend, half_size_backend
from nsp_cli.engine.options import DenoiseOptions, ModelOptions
from nsp_cli.engine.tiling import choose_tile, round_tile
from nsp_cli.errors import NspError
from nsp_cli.image import WRITABLE, check_header
from nsp_cli.image.probe import probe_container, probe_exif, probe_size

_SIDE = 256
"""Side in pixels of the tile that is timed: as a rule it takes under a second on a laptop."""


def foresee(work: Work, options: DenoiseOptions, profiles: Profiles | None = None) -> tuple[Outcome, ModelOptions]:
    """Predict a photo's outcome from its name and header, and the model that it would get."""
    outcome, chosen = _foreseen(work, options), options
    if profiles is not None and outcome.status is Status.PLANNED:
        chosen, notes = profiles.choose(probe_exif(work.source), options)
        outcome = replace(outcome, notes=notes)
    return outcome, chosen.model


def _foreseen(work: Work, options: DenoiseOptions) -> Outcome:
    """Predict a photo's outcome from its names and header, without the settings of profiles."""
    outcome = Outcome(work.source, work.target, Status.PLANNED, unread=work.unread)
    try:
        if not should_process(work, options.output):
            return replace(outcome, status=Status.SKIPPED)
        check_header(work.source)
        if options.output.in_place and (container := probe_container(work.source)) is not None:
            refuse_other_format(container, work.source)
        size = probe_size(work.source)
        if size is not None:
            refuse_large(size, WRITABLE[work.target.suffix.lower()], options)
    except NspError as error:
        return replace(outcome, status=Status.FAILED, error=with_flags(str(error)))
    return replace(outcome, megapixels=None if size is None else size[0] * size[1] / 1e6)


def show(planned: Outcome) -> None:
    """Print one line on stdout."""
    if planned.status is Status.FAILED:
        reason = (planned.error or "").removeprefix(f"{planned.source}: ")
        typer.echo(plain(f"{planned.source}: would fail: {reason}"))
        return
    size = "size unknown" if planned.megapixels is None else f"{planned.megapixels:.2f} MP"
    note = "exists, would be skipped" if planned.status is Status.SKIPPED else size
    if "profile" in planned.notes:
        note += f", settings of {planned.notes['profile']}"
    typer.echo(plain(f"{planned.source} -> {planned.target} ({note})"))


def sentence(
    foreseen: Sequence[tuple[Outcome, ModelOptions]], opened: Callable[[ModelOptions], Backend], recipe: Recipe
) -> str:
    """Format the totals of a batch and the time expected from a short measurement of each of its models."""
    to_process = [(planned, model) for planned, model in foreseen if planned.status is Status.PLANNED]
    sizes: dict[ModelOptions, float] = {}
    for planned, model in to_process:
        sizes[model] = sizes.get(model, 0) + (planned.megapixels or 0)
    statuses = Counter(planned.status for planned, _ in foreseen)
    fates = {Status.SKIPPED: "would be skipped", Status.FAILED: "would fail"}
    rest = "".join(f", {statuses[status]} {fate}" for status, fate in fates.items() if statuses[status])
    if not to_process:
        return f"None of {len(foreseen)} photos would be written{rest}."
    unknown = sum(planned.megapixels is None for planned, _ in to_process)
    rest += f", {unknown} of unknown size" if unknown else ""
    names = dict.fromkeys(_model(planned.notes, recipe) for planned, _ in to_process) or (_model({}, recipe),)
    seconds = sum(size * seconds_per_megapixel(opened(model)) for model, size in sizes.items())
    return (
        f"{len(to_process)} of {len(foreseen)} photos would be written{rest}: {sum(sizes.values()):.2f} MP with the "
        f"model{'s' if len(names) > 1 else ''} {' and '.join(names)}, about {_spelled(seconds)}; an estimate from one "
        "tile, timed just now."
    )


def _model(notes: Mapping[str, object], recipe: Recipe) -> str:
    name, sha256 = notes.get("model", recipe.model), notes.get("model_sha256", recipe.sha256)
    return f"{name} ({str(sha256)[:12]})"


def seconds_per_megapixel(backend: Backend) -> float:
    """Time one small tile, also of the network for the photo at half its size, where there is one."""
    half = half_size_backend(backend)
    if half is not backend:
        return _seconds(backend) + _seconds(half) / 4
    return _seconds(backend) * (1.25 if backend.spec.coarse_chroma else 1)  # and a quarter of the photo's pixels


def _seconds(backend: Backend) -> float:
    """Return the seconds for one megapixel, with what the halo of the tiles of a large photo costs."""
    spec = backend.spec
    side = round_tile(_SIDE, spec)
    tile = np.full((1, spec.planes, side, side), 0.5, np.float32)
    backend.run(tile)  # the first one allocates, and chooses algorithms
    started = time.monotonic()
    backend.run(tile)
    seconds = time.monotonic() - started
    inner = choose_tile(spec, backend.free_bytes())
    return seconds / (side * side / 1e6) * ((inner + 2 * spec.halo) / inner) ** 2


def _spelled(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"

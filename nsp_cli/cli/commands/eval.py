"""`nsp eval`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.plan import count_unread
from nsp_cli.cli.common_flags import option
from nsp_cli.cli.console import complain, out, progress, warn
from nsp_cli.cli.help_panels import IN_OUT
from nsp_cli.engine.options import DenoiseOptions, ModelOptions
from nsp_cli.errors import InputError, MemoryLimitError, UsageError
from nsp_cli.model.spec import BackendName, Precision

if TYPE_CHECKING:
    from nsp_cli.engine.backends.base import Backend

Noisy = Annotated[
    Path,
    typer.Argument(metavar="NOISY", help="A folder of noisy photos, or the folder of a --dataset.", show_default=False),
]
Clean = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CLEAN]",
        help="A folder of clean photos of the same names, or x_clean for x_noisy.",
        show_default=False,
    ),
]
Dataset = Annotated[
    str | None,
    option(
        "--dataset",
        panel=IN_OUT,
        metavar="NAME",
        help="Measure on the published test set sidd-val, sidd-bench, dnd, polyu or cc.",
    ),
]
Submission = Annotated[
    Path | None,
    option(
        "--submission",
        panel=IN_OUT,
        metavar="OUT",
        help="Write what the set's server takes: a .csv file for sidd-bench, a folder for dnd.",
    ),
]


@dataclass(frozen=True)
class _Figures:
    """Figures of one pair, or the mean of all. PSNR is infinite where nothing differs; JSON has null for that."""

    noisy_psnr: float
    noisy_ssim: float
    psnr: float
    ssim: float
    seconds_per_megapixel: float
    strength: float

    def as_json(self) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def evaluate(
    noisy: Noisy,
    clean: Clean = None,
    dataset: Dataset = None,
    submission: Submission = None,
    model: common_flags.Model = None,
    strength: common_flags.Strength = "100",
    luma: common_flags.Luma = 100,
    chroma: common_flags.Chroma = 100,
    blind: common_flags.Blind = None,
    coarse_chroma: common_flags.CoarseChroma = None,
    tile: common_flags.Tile = 0,
    device: common_flags.Device = "auto",
    precision: common_flags.Precision = Precision.AUTO,
    backend: common_flags.Backend = BackendName.AUTO,
    as_json: common_flags.Json = False,
    quiet: common_flags.Quiet = False,
    verbose: common_flags.Verbose = False,
) -> None:
    """Measure PSNR, SSIM and speed on pairs of noisy and clean photos.

    Photos are compared in sRGB at 8 bits; SSIM is of RGB, with a Gaussian window.

    A pair that cannot be measured is reported, and the others are measured.
    """
    from nsp_cli.evaluation import metrics

    settings = DenoiseOptions(
        tile=tile,
        model=ModelOptions(
            name=model, device=device, precision=precision, backend=backend, blind=blind, coarse_chroma=coarse_chroma
        ),
        blend=common_flags.blend_options(strength, luma, chroma),
    )
    if dataset is not None:
        from nsp_cli.cli.commands.eval_dataset import evaluate_dataset

        if clean is not None:
            raise UsageError(f"--dataset {dataset} needs one folder, got {noisy} and {clean}.")
        evaluate_dataset(dataset, noisy, submission, settings, quiet=quiet, as_json=as_json)
        return
    if clean is None:
        raise UsageError("nsp eval needs two folders, NOISY and CLEAN, or one and --dataset.")
    if submission is not None:
        raise UsageError("--submission goes with --dataset.")
    pairs = metrics.find_pairs(noisy, clean)
    if left := metrics.unpaired(noisy, pairs):
        names = ", ".join(path.name for path in left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        warn(f"{len(left)} photos in {noisy} have no clean partner in {clean} and are left out: {names}.")
    unread = count_unread(path for folder in {noisy, clean} for path in folder.iterdir())
    _evaluate_pairs(pairs, settings, [unread_sentence(unread)] if unread else [], quiet=quiet, as_json=as_json)


def _evaluate_pairs(
    pairs: list[tuple[Path, Path]], settings: DenoiseOptions, failures: list[str], *, quiet: bool, as_json: bool
) -> None:
    """Measure and print pairs, and end with exit code 1 if there are failures, with those before the measurement."""
    from nsp_cli.api import open_backend

    backend = open_backend(settings)
    rows: dict[str, _Figures] = {}
    with progress(len(pairs), "pairs", quiet=quiet or as_json) as reporter:
        for pair in pairs:
            try:
                rows[pair[0].name] = _measure(*pair, backend, settings, reporter.within)
            except (InputError, MemoryLimitError) as error:
                sentence = str(error)
                failures.append(sentence if any(str(p) in sentence for p in pair) else f"{pair[0]}: {sentence}")
            reporter.done()
    for sentence in failures:
        complain(sentence)
    mean = _mean(list(rows.values())) if rows else None
    if as_json:
        photos = [{"photo": name, **row.as_json()} for name, row in rows.items()]
        values = {"photos": photos, "mean": mean and mean.as_json(), "failures": failures}
        out.print_json(json.dumps(values, allow_nan=False))
    elif mean is not None:
        _print_table({**rows, f"mean of {len(rows)}": mean})
    if failures:
        raise typer.Exit(1)


def _measure(
    noisy: Path, clean: Path, backend: Backend, settings: DenoiseOptions, report: Callable[[float], None]
) -> _Figures:
    """Measure one pair before and after denoising, in sRGB."""
    from nsp_cli.api import denoise_frame
    from nsp_cli.evaluation.metrics import score
    from nsp_cli.image import read, read_srgb, srgb_pixels

    photo, truth = read(noisy), read_srgb(clean)
    before = score(srgb_pixels(photo), truth)
    started = time.monotonic()
    result, blend = denoise_frame(photo, backend, settings, report)
    seconds = time.monotonic() - started
    after = score(srgb_pixels(result), truth)
    rate = seconds / photo.megapixels
    return _Figures(before.psnr, before.ssim, after.psnr, after.ssim, rate, blend.strength)


def _mean(rows: list[_Figures]) -> _Figures:
    return _Figures(*(sum(getattr(row, field.name) for row in rows) / len(rows) for field in fields(_Figures)))


def _print_table(rows: dict[str, _Figures]) -> None:
    from rich.table import Table

    table = Table("photo", "noisy PSNR", "noisy SSIM", "PSNR", "SSIM", "s/MP", "strength", box=None, pad_edge=False)
    digits = (".2f", ".4f", ".2f", ".4f", ".2f", ".0f")
    for name, row in rows.items():
        table.add_row(name, *(format(value, d) for value, d in zip(asdict(row).values(), digits, strict=True)))
    out.print(table)

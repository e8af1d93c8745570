"""`nsp eval --dataset`: the test sets of the papers, block by block."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nsp_cli.cli.console import Reporter, err, out, progress, warn
from nsp_cli.errors import UsageError

if TYPE_CHECKING:
    from nsp_cli.engine.backends.base import Backend
    from nsp_cli.engine.options import DenoiseOptions
    from nsp_cli.evaluation.datasets import Block, Dataset
    from nsp_cli.evaluation.submission import Submission
    from nsp_cli.image.frame import Pixels

Row = Mapping[str, float | str]

_NOISY = "noisy_"
_TIME = "seconds_per_megapixel"


def evaluate_dataset(
    name: str,
    path: Path,
    target: Path | None,
    settings: DenoiseOptions,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Denoise a test set, print its figures where they can be known, and write to `target` what its server takes.

    Raises
    ------
    NspError
        What `datasets.open_dataset`, the submissions and the backend raise.
    """
    from nsp_cli.api import open_backend
    from nsp_cli.evaluation.datasets import open_dataset

    submission = _open_submission(name, target)
    dataset = open_dataset(name, path)
    backend = open_backend(settings)
    rows: list[Row] = []
    with progress(dataset.count, "blocks", quiet=quiet or as_json) as reporter:
        for block in dataset.blocks():
            result, row = _denoise(block, backend, settings, reporter)
            rows.append(row)
            if submission is not None:
                submission.add(block.photo, block.index, result)
            reporter.done()
    _show(dataset, rows, as_json=as_json)
    if submission is not None:
        written = submission.close()
        if not quiet:
            err.print(f"{written} is what the server takes.")
        if dataset.count != dataset.complete:
            warn(f"{dataset.title} has {dataset.complete} blocks and here are {dataset.count}: its server needs all.")


def _open_submission(dataset: str, target: Path | None) -> Submission | None:
    """Open the submission. Raises `UsageError` for a set that has no server, or for a missing but necessary target."""
    from nsp_cli.evaluation.submission import SUBMISSIONS

    if target is None:
        if dataset in SUBMISSIONS:
            raise UsageError(f"The clean photos of {dataset} are not public; give --submission OUT for its server.")
        return None
    if dataset not in SUBMISSIONS:
        raise UsageError(f"--submission is for {' and '.join(SUBMISSIONS)}; {dataset} is measured here.")
    return SUBMISSIONS[dataset](target)


def _denoise(block: Block, backend: Backend, settings: DenoiseOptions, reporter: Reporter) -> tuple[Pixels, Row]:
    """Denoise one block; return the result and its row of figures."""
    from nsp_cli.api import denoise_frame
    from nsp_cli.evaluation.metrics import published_scores
    from nsp_cli.image import Frame

    photo = Frame(block.noisy)
    started = time.monotonic()
    result, blend = denoise_frame(photo, backend, settings, reporter.within)
    row: dict[str, float | str] = {"photo": block.name}
    seconds = (time.monotonic() - started) / photo.megapixels
    if block.clean is not None:
        before = published_scores(block.noisy, block.clean)
        row |= {_NOISY + key: value for key, value in before.items()} | published_scores(result.pixels, block.clean)
    return result.pixels, {**row, _TIME: seconds, "strength": blend.strength}


def _show(dataset: Dataset, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the mean over blocks; as JSON, every block too, with null for values that are not finite."""
    from rich.table import Table

    from nsp_cli.evaluation.metrics import PUBLISHED

    mean = {key: sum(float(row[key]) for row in rows) / len(rows) for key in rows[0] if key != "photo"}
    if as_json:
        record = {"dataset": dataset.title, "figures": PUBLISHED, "photos": list(map(_finite, rows)), "mean": mean}
        out.print_json(json.dumps({**record, "mean": _finite(mean)}))
        return
    table = Table(f"{dataset.title}, mean of {len(rows)}", "noisy", "denoised", box=None, pad_edge=False)
    for key, name in PUBLISHED.items():
        if key in mean:
            digits = ".2f" if key == "psnr" else ".4f"
            table.add_row(name, format(mean[_NOISY + key], digits), format(mean[key], digits))
    table.add_row("seconds a megapixel", "", f"{mean[_TIME]:.2f}")
    out.print(table)


def _finite(row: Row) -> dict[str, float | str | None]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}

"""`nsp eval`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from nsp_cli.cli import options
from nsp_cli.cli.console import out, progress

Folder = Annotated[Path, typer.Argument(show_default=False)]


def evaluate(
    noisy: Annotated[Path, typer.Argument(help="A folder of noisy photos.", show_default=False)],
    clean: Annotated[
        Path, typer.Argument(help="A folder of clean ones; x_noisy goes with x_clean.", show_default=False)
    ],
    model: options.Model = None,
    strength: options.Strength = "100",
    luma: options.Luma = 100,
    chroma: options.Chroma = 100,
    blind: options.Blind = None,
    tile: options.Tile = 0,
    device: options.Device = "auto",
    precision: options.Precision = options.Precisions.AUTO,
    backend: options.Backend = options.Backends.AUTO,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure PSNR, SSIM (RGB, Gaussian window) and seconds a megapixel on pairs of noisy and clean photos."""
    from nsp_cli import engine, evaluation
    from nsp_cli.api import load_backend
    from nsp_cli.image import read

    looks = options.wanted_looks(strength, luma, chroma)
    pairs = evaluation.find_pairs(noisy, clean)
    chosen = options.wanted_settings(blind)
    ready = load_backend(model, device=device, precision=precision, backend=backend, settings=chosen)
    rows: list[dict[str, float | str]] = []
    with progress(len(pairs), "pairs", quiet=quiet or as_json) as reporter:
        for noisy_path, clean_path in pairs:
            photo, truth = read(noisy_path), read(clean_path)
            started = time.monotonic()
            choice = looks.choose(photo, ready)
            result = engine.process(photo, ready, looks=choice.looks, tile=tile, report=reporter.within)
            seconds = time.monotonic() - started
            before, after = (evaluation.score(f.pixels, truth.pixels) for f in (photo, result))
            rows.append(
                {
                    "photo": noisy_path.name,
                    "noisy_psnr": before.psnr,
                    "noisy_ssim": before.ssim,
                    "psnr": after.psnr,
                    "ssim": after.ssim,
                    "seconds_per_megapixel": seconds / photo.megapixels,
                    "strength": choice.looks.strength,
                }
            )
            reporter.done()
    mean = {key: sum(float(row[key]) for row in rows) / len(rows) for key in rows[0] if key != "photo"}
    if as_json:
        out.print_json(json.dumps({"photos": rows, "mean": mean}))
    else:
        _print_table(rows, mean)


def _print_table(rows: list[dict[str, float | str]], mean: dict[str, float]) -> None:
    from rich.table import Table

    table = Table("photo", "noisy PSNR", "noisy SSIM", "PSNR", "SSIM", "s/MP", "strength", box=None, pad_edge=False)
    for row in [*rows, {"photo": f"mean of {len(rows)}", **mean}]:
        digits = (".2f", ".4f", ".2f", ".4f", ".2f", ".0f")
        values = [format(float(row[key]), d) for key, d in zip(mean, digits, strict=True)]
        table.add_row(str(row["photo"]), *values)
    out.print(table)

"""`nsp train`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsp_cli.cli import options
from nsp_cli.cli.console import err, progress
from nsp_cli.errors import NoInputError, UsageError
from nsp_cli.spec import Precision

if TYPE_CHECKING:
    from nsp_cli.training import Progress, TrainSettings

SCRATCH = "scratch"


def train(
    context: typer.Context,
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Noisy photos, or folders of them (searched to the bottom).")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The weights to write.")] = Path("nsp.safetensors"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of this --output, same settings.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option("--method", help="nsp, or simulated: from clean photos with simulated noise. Default: nsp."),
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="photographer, or paper: the method as published.")
    ] = "photographer",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Weights to start from, or 'scratch'. Default: those that ship, unless a flag changes the network.",
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Budget in minutes of training.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Budget in steps.")] = None,
    pairs: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--pairs", help="Folders NOISY CLEAN: their PSNR is shown, and decides nothing."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", help="Pairs: canonical, or NSP's random, sorted, intersected, consecutive."),
    ] = None,
    stride: Annotated[int | None, typer.Option("--stride", help="s, the side of NSP's cells.")] = None,
    targets: Annotated[int | None, typer.Option("--targets", help="n, targets in a cell.")] = None,
    inputs: Annotated[int | None, typer.Option("--inputs", help="Inputs used for each target; 0: all.")] = None,
    scale: Annotated[int | None, typer.Option("--scale", help="t, the factor from input to target.")] = None,
    network: Annotated[str | None, typer.Option("--network", help="dbsn, unet or resunet.")] = None,
    width: Annotated[int | None, typer.Option("--width", help="Feature channels.")] = None,
    depth: Annotated[int | None, typer.Option("--depth", help="Residual modules in a branch.")] = None,
    residual: Annotated[bool | None, typer.Option("--residual/--no-residual", help="Blind residual.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Photos in a step, over all processes.")] = None,
    patch: Annotated[int | None, typer.Option("--patch", help="Side of a crop in pixels.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option("--seed")] = None,
    save_every: Annotated[int | None, typer.Option("--save-every", help="Steps between saved states.")] = None,
    cache_megabytes: Annotated[int | None, typer.Option("--cache", help="Decoded photos kept, in megabytes.")] = None,
    compile: Annotated[bool | None, typer.Option("--compile/--no-compile", help="torch.compile the network.")] = None,
    device: options.Device = "auto",
    precision: Annotated[Precision | None, typer.Option("--precision")] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train or fine-tune on noisy photos; no clean photos are needed.

    Ctrl-C ends a run after its step, a crash loses what came after the last --save-every: --resume goes on.
    """
    from nsp_cli import training
    from nsp_cli.evaluation import find_pairs

    # torchrun starts this command several times: one of them speaks, and looks after the files.
    leads = os.environ.get("RANK", "0") == "0"
    quiet = quiet or not leads
    folder = output.with_suffix(".run")
    found = find_photos(photos or [])
    if resume:
        _refuse_settings(context)
        settings, begin = training.saved_settings(folder), None
    else:
        if leads:
            _refuse_overwriting(output, folder)
        method_args = {"strategy": strategy, "stride": stride, "targets": targets, "inputs": inputs, "scale": scale}
        network_args = {"width": width, "depth": depth, "residual": residual}
        given = {
            "network": network, "batch": batch, "patch": patch, "lr": lr, "seed": seed, "compile": compile,
            "save_every": save_every, "cache_megabytes": cache_megabytes, "precision": precision and str(precision),
        }  # fmt: skip
        settings = training.find_preset(method or "nsp", preset).with_budget(steps, minutes)
        own_network = (
            preset != training.PHOTOGRAPHER
            or method is not None
            or any(v is not None for v in (network, scale, *network_args.values()))
        )
        begin = _starting_weights(start, own_network)
        if begin is not None:
            settings = _like(settings, begin)
        settings = _override(settings, given, method_args, network_args)
        if settings.method_args.get("strategy") == "canonical" and (stride, targets) != (None, None):
            raise UsageError("--stride and --targets are of NSP's own pairs; choose them with --strategy consecutive.")
    job = training.Job(
        photos=found,
        target=output,
        folder=folder,
        start=begin,
        pairs=find_pairs(*pairs) if pairs else (),
        device=device,
        resume=resume,
        stop=_stop_on_interrupt(),
    )
    if not quiet:
        err.print(f"{len(found)} photos, {begin.name if begin else 'new weights'}, files of the run in {folder}")
    stopped = _watched(settings, job, quiet)
    if stopped:
        err.print(f"Stopped; go on with: nsp train … -o {output} --resume")
        raise typer.Exit(130)
    if not quiet:
        err.print(f"{output} is written; use it with: nsp denoise -m {output} IN OUT")


def find_photos(paths: list[Path]) -> list[Path]:
    """All photos among files and in folders, sorted. Raises `NoInputError`."""
    from nsp_cli.image import is_photo

    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {p for p in path.rglob("*") if p.is_file() and is_photo(p)}
        elif path.is_file():
            found.add(path)
        else:
            raise NoInputError(f"There is no photo and no folder {path}.")
    if not found:
        raise NoInputError("There is no photo to train on; name photos or folders, as in `nsp train my-photos/`.")
    return sorted(found)


def _watched(settings: TrainSettings, job: Any, quiet: bool) -> bool:
    """Train under a progress display; True if the run was stopped before its end."""
    from nsp_cli import training

    last: Progress | None = None
    with progress(1, "training", quiet=quiet) as reporter:

        def report(now: Progress) -> None:
            nonlocal last
            last = now
            reporter.within(now.share)
            if now.step % 100 == 0:
                rate = now.step / max(now.seconds, 1e-9)
                reporter.line(f"step {now.step}, {100 * now.share:.0f}%, loss {now.loss:.4f}, {rate:.2f} steps/s")

        training.train(settings, replace(job, report=report))
    return bool(job.stop())


def _starting_weights(start: str | None, own_network: bool) -> Path | None:
    from nsp_cli import models

    if start == SCRATCH or (start is None and own_network):
        return None
    return models.resolve(start)


def _like(settings: TrainSettings, weights: Path) -> TrainSettings:
    """Settings for fine-tuning: network and method of the weights, and a third of the learning rate."""
    from nsp_cli.checkpoint import load_model

    _, spec = load_model(weights)
    return replace(
        settings,
        network=spec.network,
        network_args={k: v for k, v in spec.network_args.items() if k != "scale"},
        method=spec.method,
        method_args=dict(spec.method_args),
        lr=settings.lr / 3,
    )


def _override(
    settings: TrainSettings, given: Mapping[str, Any], method_args: Mapping[str, Any], network_args: Mapping[str, Any]
) -> TrainSettings:
    def said(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value is not None}

    return replace(
        settings,
        **said(given),
        method_args={**settings.method_args, **said(method_args)},
        network_args={**settings.network_args, **said(network_args)},
    )


_FLAGS = {"start": "--from", "cache_megabytes": "--cache"}
_WITH_RESUME = {"photos", "output", "resume", "pairs", "device", "quiet", "verbose"}


def _refuse_settings(context: typer.Context) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _WITH_RESUME and source is not None and source.name == "COMMANDLINE":
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"--resume goes on with the settings of the run; leave out {flag}.")


def _refuse_overwriting(output: Path, folder: Path) -> None:
    from nsp_cli.training import has_run

    if output.suffix != ".safetensors":
        raise UsageError(f"--output must end in .safetensors, got {output}.")
    if not output.parent.is_dir():
        raise UsageError(f"There is no folder {output.parent} to write {output.name} to.")
    for path, there in ((output, output.exists()), (folder, has_run(folder))):
        if there:
            raise UsageError(f"{path} exists already; go on with --resume, or choose another --output.")


def _stop_on_interrupt() -> Any:
    """A question that turns true at the first Ctrl-C (or SIGTERM); the second one interrupts at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return lambda: asked

"""`nsp train`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nsp_cli.cli.batch.outcome import unread_sentence
from nsp_cli.cli.batch.plan import count_unread, missing, results_among
from nsp_cli.cli.commands.train_adapt import Adaptation
from nsp_cli.cli.commands.train_config import resolve_flags
from nsp_cli.cli.commands.train_flags import TrainFlags
from nsp_cli.cli.console import err, progress, warn
from nsp_cli.cli.flag_decorator import takes
from nsp_cli.cli.flag_names import flag_of
from nsp_cli.cli.interrupt import STOPPED, stop_on_interrupt
from nsp_cli.errors import NoInputError, NspError, UsageError
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists, is_file, is_folder
from nsp_cli.system.processes import process_info

if TYPE_CHECKING:
    from nsp_cli.training import Job, PendingAnalysis, Progress, TrainConfig


CLEAN = "clean"
"""Sub-folder of a run's folder with the denoised references, see `training.adapting`."""

_MINUTES = 10.0
"""Default budget in minutes of fine-tuning with fitted cameras."""

_STEPS = 60
"""Default budget in steps of fine-tuning by NSP's loss; with more of them results are softer."""


@takes(TrainFlags)
def train(
    context: typer.Context,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PHOTOS...]",
            help="Photos, or folders with their sub-folders: noisy ones; clean ones for --method simulated.",
        ),
    ] = None,
    *,
    flags: TrainFlags,
) -> None:
    """Adapt a model to a camera with noisy photos, or train a model with --method.

    Ctrl-C stops a run after its current step, and --resume continues it.
    """
    # torchrun starts this command several times: only the main process prints, and writes files.
    with stop_on_interrupt("step", ignore_second=not process_info().is_alone) as stop:
        _train(context, photos or [], flags, stop)


def _train(context: typer.Context, photos: list[Path], flags: TrainFlags, stop: Callable[[], bool]) -> None:
    """Start or resume the run of the flags, with an analysis of the noise before it where the method needs one.

    Raises
    ------
    UsageError
        Flags do not go together, or files of another run are in the way.
    NspError
        See `find_photos`, `training.adapt` and `training.train`.
    """
    from nsp_cli import training
    from nsp_cli.evaluation.metrics import find_pairs

    is_main = process_info().is_main_process
    if flags.method == "list":
        if is_main:
            typer.echo(training.describe_methods())
        return
    folder = flags.output.with_suffix(".run")
    quiet = flags.quiet or not is_main
    noisy = find_photos(photos, quiet=quiet)
    pairs = find_pairs(*flags.pairs) if flags.pairs else ()
    if flags.resume:
        _refuse_settings(context)
        pending = training.PendingAnalysis.load(folder)
        if pending is None:
            settings, begin = training.saved_settings(folder), None
            found = training.references_in(_references(folder)) or noisy
        else:
            pending.check(noisy)
            settings, begin, found = pending.settings, pending.start, noisy
            if exists(flags.output):
                raise UsageError(f"{flags.output} exists already and is not of this run, which has no weights yet.")
    else:
        if is_main:
            _refuse_overwriting(flags.output, folder)
        settings, begin, found = *resolve_flags(flags), noisy
        pending = _needed_analysis(settings, begin, noisy, flags)
    with _forgotten_after_errors(None if flags.resume else pending, folder):
        if pending is not None:
            settings, found = _adapted(pending, noisy, photos, flags, stop, quiet=quiet)
        job = training.Job(
            photos=found,
            target=flags.output,
            folder=folder,
            start=begin,
            pairs=pairs,
            shown=noisy[:: settings.validation_every or 1],
            device=flags.device,
            resume=flags.resume and pending is None,
            stop=stop,
        )
        _run(settings, job, photos, quiet=quiet)


def _needed_analysis(
    settings: TrainConfig, start: Path | None, photos: list[Path], flags: TrainFlags
) -> PendingAnalysis | None:
    """Return the noise analysis that goes before a run that adapts a model; its method is not named by the user."""
    from nsp_cli import training

    adapts = flags.adapt is not None or training.needs_clean_photos(settings)
    if start is None or flags.method is not None or not adapts:
        return None
    if flags.minutes is None and flags.steps is None:
        by_nsp = flags.adapt is Adaptation.NSP
        settings = replace(settings, steps=_STEPS, minutes=None) if by_nsp else replace(settings, minutes=_MINUTES)
    return training.PendingAnalysis.of(settings, start, photos)


@contextmanager
def _forgotten_after_errors(pending: PendingAnalysis | None, folder: Path) -> Generator[None]:
    """Remove the file of a new run's analysis after an error, so that the corrected command can start again."""
    try:
        yield
    except NspError:
        if pending is not None and process_info().is_main_process:
            pending.remove(folder)
        raise


def _adapted(
    pending: PendingAnalysis,
    photos: list[Path],
    named: list[Path],
    flags: TrainFlags,
    stop: Callable[[], bool],
    *,
    quiet: bool,
) -> tuple[TrainConfig, list[Path]]:
    """Analyze the noise of the photos, which are the files and those in the folders that the user `named`."""
    from nsp_cli import training

    folder = flags.output.with_suffix(".run")
    is_main = process_info().is_main_process
    if is_main:
        pending.save(folder)
    with progress(1, "analyzing the noise", quiet=quiet) as reporter:

        def report(fraction: float) -> None:
            if stop():
                _exit_stopped(named, flags.output)
            reporter.within(fraction)

        settings, references = training.adapt(
            pending.settings, photos, pending.start, _references(folder), device=flags.device, report=report
        )
    if not quiet:
        err.print(f"{len(references)} of {len(photos)} photos analyzed")
    if is_main and not settings.method_args.get("cameras", True):
        warn(
            "The photos' noise could not be measured: it is too faint, or the photos are below 128 pixels. "
            "Training uses random cameras."
        )
    return settings, references


def _exit_stopped(photos: list[Path], target: Path) -> NoReturn:
    """Print the command that continues the run, and exit."""
    if process_info().is_main_process:
        names = shlex.join(["nsp", "train", *map(str, photos), "-o", str(target), "--resume"])
        err.print(f"Stopped; continue with: {names}")
    raise typer.Exit(STOPPED)


def _references(folder: Path) -> Path:
    """Return the folder of a run's denoised references; each of several processes writes its own."""
    here = process_info()
    return folder / CLEAN if here.is_alone else folder / CLEAN / str(here.rank)


def _run(settings: TrainConfig, job: Job, photos: list[Path], *, quiet: bool) -> None:
    """Train, and print a line before and after."""
    if not quiet:
        begin = "the run so far" if job.resume else job.start.name if job.start else "new weights"
        count = f"{len(job.photos)} photo{'' if len(job.photos) == 1 else 's'}"
        err.print(f"{count}, {begin}, files of the run in {job.folder}")
        err.print(f"Curves: tensorboard --logdir {shlex.quote(str(job.folder))}")
    stopped = _watched(settings, job, quiet)
    if stopped:
        _exit_stopped(photos, job.target)
    if not quiet:
        err.print(f"{job.target} is written; use it with: nsp denoise -m {job.target} IN OUT")


def find_photos(paths: list[Path], *, quiet: bool = False) -> list[Path]:
    """Return all photos among files and in folders, sorted; files of training runs (`*.run` folders) are left out.

    The noisy photos of pairs (`training.data.NOISY`) are left out, too: they are read together with their clean ones.
    Results beside their photos (_nsp), pictures in formats that are not read, pipes, devices and broken links are left
    out too, with a warning unless `quiet`.

    Raises
    ------
    NoInputError
        A path does not exist, or there is no photo.
    """
    from nsp_cli.image import is_photo

    found: set[Path] = set()
    unread, special, results = Counter[str](), list[Path](), set[Path]()
    for path in paths:
        if is_folder(path):
            inside = [p for p in path.rglob("*") if not is_folder(p) and not _is_left_out(p.relative_to(path))]
            photos = {p for p in inside if is_photo(p)}
            found |= {p for p in photos if is_file(p)}
            results |= results_among(photos)
            unread += count_unread(inside)
            special += sorted(p for p in photos if not is_file(p))
        elif is_file(path):
            found.add(path)
        else:
            raise NoInputError(missing(path))
    if unread and not quiet:
        warn(unread_sentence(unread))
    if special and not quiet:
        names = ", ".join(map(str, special[:3])) + (" …" if len(special) > 3 else "")
        warn(f"{len(special)} pipes, devices or broken links are left out: {names}.")
    if results and not quiet:
        warn(f"{len(results)} results of nsp (_nsp) are left out.")
    found -= results
    if not found:
        raise NoInputError("There is no photo to train on; name photos or folders, as in `nsp train my-photos/`.")
    return sorted(found)


def _is_left_out(path: Path) -> bool:
    """Test whether a path lies in a run's folder, with previews and references, or in that of the noisy photos."""
    from nsp_cli.training.data import NOISY

    return any(part.endswith(".run") or part == NOISY for part in path.parts[:-1])


def _watched(settings: TrainConfig, job: Job, quiet: bool) -> bool:
    """Train under a progress display; return True if the run was stopped before its end."""
    from nsp_cli import training

    with progress(1, "training", quiet=quiet) as reporter:

        def report(now: Progress) -> None:
            reporter.within(now.fraction)
            reporter.status(_state(now))
            if now.step == 1 or now.step % 100 == 0:
                reporter.line(_state(now))

        training.train(settings, replace(job, report=report))
    return bool(job.stop())


def _state(now: Progress) -> str:
    """Return the state of a run on one line: step, loss, rate, and time left as far as it can be estimated."""
    rate = now.step / max(now.seconds, 1e-9)
    text = f"step {now.step}, {100 * now.fraction:.0f}%, loss {now.loss:.4f}, {rate:.2f} steps/s"
    if now.step == 1 or now.fraction <= 0:  # the first step includes the start
        return text
    return f"{text}, {now.seconds * (1 - now.fraction) / now.fraction / 60:.0f} min left"


_WITH_RESUME = {"photos", "output", "resume", "pairs", "device", "quiet", "verbose"}


def _refuse_settings(context: typer.Context) -> None:
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _WITH_RESUME and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--resume continues with the settings of the run; leave out {flag_of(name)}.")


def _refuse_overwriting(output: Path, folder: Path) -> None:
    from nsp_cli.training import has_run

    if output.suffix != ".safetensors":
        raise UsageError(f"--output must end in .safetensors, got {output}.")
    if not is_folder(output.parent):
        raise UsageError(f"There is no folder {output.parent} to write {output.name} to.")
    check_place(output)
    for path, there in ((output, exists(output)), (folder, has_run(folder))):
        if there:
            raise UsageError(f"{path} exists already; go on with --resume, or choose another --output.")

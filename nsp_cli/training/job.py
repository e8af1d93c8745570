"""The photos, files and progress of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """State of a run after a step, for the caller.

    Attributes
    ----------
    step : int
        Number of completed steps.
    fraction : float
        Fraction of the budget that is used up, 0 to 1.
    loss : float
        Loss of the step, of the main process's batch.
    seconds : float
        Time that was spent on steps, earlier parts of a resumed run included.
    """

    step: int
    fraction: float
    loss: float
    seconds: float


@dataclass(frozen=True)
class Job:
    """Photos and files of a run.

    Attributes
    ----------
    photos : sequence of Path
        Photos to train on: noisy ones, or clean ones where the method `needs_clean_photos`.
        `TrainConfig.validation_every` decides which of them are for validation.
    target : Path
        The weights file to write.
    folder : Path
        Folder for the files of the run: state, scalars, previews.
    start : Path or None
        File of the initial weights; None for random ones.
    pairs : sequence of tuple[Path, Path]
        Pairs of files (noisy, clean). Their PSNR is logged, and has no effect on the training.
    shown : sequence of Path
        Photos that the previews show before and after; without them the validation photos.
    device : str
        "auto", "cuda", "cuda:1", "mps" or "cpu".
    resume : bool
        Whether to continue the run in `folder`.
    stop : callable
        Called without arguments before each step; True ends the run, which can be resumed.
    report : callable
        Called with a `Progress` after the first step and every 20 steps, by the main process alone.
    """

    photos: Sequence[Path]
    target: Path
    folder: Path
    start: Path | None = None
    pairs: Sequence[tuple[Path, Path]] = ()
    shown: Sequence[Path] = ()
    device: str = "auto"
    resume: bool = False
    stop: Callable[[], bool] = field(default=lambda: False)
    report: Callable[[Progress], None] = field(default=lambda _: None)

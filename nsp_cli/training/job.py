"""The photos, files and progress of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """State of a run after a step, for the caller."""

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
        To train on: noisy ones, or clean ones where the method `needs_clean_photos`; for those that are held out see
        `TrainConfig.validation_every`.
    target : Path
        The weights file to write.
    folder : Path
        Of the run's own files (state, scalars, previews).
    start : Path or None
        File of the initial weights; None for random ones.
    pairs : sequence of tuple[Path, Path]
        (noisy, clean) files for a PSNR that is reported and decides nothing.
    shown : sequence of Path
        Photos for the previews, before and after; without them the validation photos.
    device : str
        "auto", "cuda", "cuda:1", "mps" or "cpu".
    resume : bool
        Whether to continue the run in `folder`.
    stop : callable
        Called before each step; true ends the run, which can be resumed.
    report : callable
        Called every few steps, by the main process alone.
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

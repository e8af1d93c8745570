"""Learning a photographer's own noise from noisy photos alone, for networks that have no blind spot.

::

    noisy photo ── the weights to start from ──→ nearly clean ── reduced by half ──→ a clean photo to train on
         └── what noise has it? ──→ simulated cameras that give the nearly clean photo the same noise

Which cameras they are is found by trial (`training.matching`). They then lend the clean photos their noise
(`methods.simulated`), beside random ones that photograph them, so that nothing is forgotten.

What such a run writes lies between the weights that it began with and those that it learned: that keeps most of what
was won on the own camera, and loses little elsewhere (Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.loading import load_backend
from nsp_cli.engine.process import process
from nsp_cli.errors import InputError, NoInputError
from nsp_cli.image import Frame, from_unit, read_srgb, to_unit, write
from nsp_cli.simulation.camera import Camera, Picture
from nsp_cli.training.camera_fit import Look, flattest, match, telling
from nsp_cli.training.config import TrainSettings

_PHOTOS = 48
_WINDOW = 1024

_SHARES, _KEEP = {"own": 0.85, "plain": 0.0, "nights": 0.6, "painted": 0.0}, 0.7
"""Settings of `methods.simulated`, and the share of the old weights in what is written (`TrainSettings.keep`). Far into
one camera and back a good way wins more there, and loses less elsewhere, than a run of half as many own examples does;
and heavy noise is what is forgotten first. Painted scenes that wear one camera's noise make that worse, and the
one run that had plain cameras among the random ones won no more and lost more (weights/README.md)."""


@dataclass(frozen=True)
class Study:
    """What was learned of a folder: nearly clean photos on the disk, and cameras that make its noise."""

    clean: list[Path]
    cameras: list[Camera]

    def method_args(self) -> dict[str, object]:
        """Build the settings of `methods.simulated` that use these cameras."""
        return {"cameras": [asdict(camera) for camera in self.cameras]}


def adapt(
    settings: TrainSettings,
    photos: Sequence[Path],
    start: Path,
    folder: Path,
    *,
    device: str = "auto",
    report: Callable[[float], None] = lambda _: None,
) -> tuple[TrainSettings, list[Path]]:
    """Study noisy photos with the weights `start`, whose method wants clean ones.

    Returns the settings of a run that goes on from `start`, and the clean photos for it, which are in `folder`. The
    time that the study took is taken off a budget in minutes, at most the half of it.

    Raises
    ------
    NoInputError : no photo can be read; ModelError : `start` cannot be used
    """
    began = time.monotonic()
    backend = load_backend(start, device=device, precision=settings.precision)
    found = study(photos, backend, folder, smallest=settings.patch, seed=settings.seed, report=report)
    shares = _SHARES if found.cameras else {}  # without cameras of its own a run learns from any
    keep = _KEEP if settings.keep is None else settings.keep
    settings = replace(settings, keep=keep, method_args={**shares, **settings.method_args, **found.method_args()})
    if settings.minutes is not None:
        left = settings.minutes - (time.monotonic() - began) / 60
        settings = replace(settings, minutes=max(left, settings.minutes / 2))
    return settings, found.clean


def copies_in(folder: Path) -> list[Path]:
    """List the denoised references that `adapt` wrote into a run's folder."""
    return sorted(folder.glob("*.png"))


def study(
    photos: Sequence[Path],
    backend: Backend,
    folder: Path,
    *,
    smallest: int,
    seed: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Study:
    """Look at up to 48 noisy photos and write their nearly clean copies (PNG, 16 bit) into `folder`.

    Parameters
    ----------
    backend : a denoiser, scale 1; smallest : side in pixels below which no copy is reduced
    report : called with the share that is done

    Raises
    ------
    NoInputError : no photo can be read
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in copies_in(folder):  # of a study that was stopped
        old.unlink()
    chosen = [photos[i * len(photos) // _PHOTOS] for i in range(_PHOTOS)] if len(photos) > _PHOTOS else list(photos)
    clean: list[Path] = []
    looks: list[Look] = []
    for index, path in enumerate(chosen):
        rng = np.random.default_rng((seed, index))
        try:
            noisy = _window(read_srgb(path), _WINDOW, rng)
        except InputError:
            continue
        denoised = np.clip(np.asarray(process(Frame(noisy), backend).pixels, np.float32), 0, 1)
        looks += [look] if (look := flattest(noisy, denoised)) else []
        clean.append(folder / f"{index:04d}.png")
        write(Frame(from_unit(_reduced(denoised, smallest), np.uint16)), clean[-1], overwrite=True)
        report((index + 1) / len(chosen) / 2)
    if not clean:
        raise NoInputError(f"None of the {len(photos)} photos can be read.")
    cameras = match(telling(looks), np.random.default_rng(seed), lambda share: report((1 + share) / 2))
    report(1.0)
    return Study(clean, cameras)


def _window(pixels: NDArray[np.generic], side: int, rng: np.random.Generator) -> Picture:
    """Crop pixels (H, W, C) at a random place to at most `side` × `side`, as (h, w, 3) in [0, 1]."""
    y, x = (int(rng.integers(max(length - side, 0) + 1)) for length in pixels.shape[:2])
    part = to_unit(pixels[y : y + side, x : x + side])  # pyright: ignore[reportArgumentType]
    return np.ascontiguousarray(np.broadcast_to(part, (*part.shape[:2], 3)))


def _reduced(picture: Picture, smallest: int) -> Picture:
    """Half the size, which halves what noise was left, where that is large enough to train on."""
    import cv2

    height, width = picture.shape[:2]
    if min(height, width) < 2 * smallest:
        return picture
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)

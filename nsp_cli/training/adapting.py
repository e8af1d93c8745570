"""Fine-tuning to the noise of a folder of noisy photos, for networks without a blind spot.

::

    noisy photo ── initial weights ──→ denoised reference ── reduced by half ──→ clean photo to train on
         └── noise analysis ──→ simulated cameras that add the same noise to the reference

`training.camera_fit` fits the cameras. The trainer adds their noise to the clean photos (`methods.simulated`), mixed
with that of random cameras, which limits forgetting.

Such a run writes weights interpolated between the initial and the trained ones. This keeps most of the gain for the
photographer's camera and loses little elsewhere (Wortsman et al., "Robust fine-tuning of zero-shot models",
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
from nsp_cli.methods import SubImages
from nsp_cli.simulation.camera import Camera, Picture
from nsp_cli.training.adapting_nsp import measure_distance, to_analyze
from nsp_cli.training.camera_fit import FlatPatches, fit_cameras, flattest, most_informative
from nsp_cli.training.config import TrainConfig
from nsp_cli.training.data import large_enough

_WINDOW = 1024  # side in pixels of the part of a photo that is analyzed

# Settings of `methods.simulated`.
#
# Many examples of the own cameras with a strong interpolation gain more there, and lose less elsewhere, than half as
# many examples do. Heavy noise is forgotten first. Synthetic scenes with one camera's noise make that worse, and
# neutral cameras among the random ones gained nothing and lost more (docs/experiments.md).
_PROBABILITIES = {"own_prob": 0.85, "neutral_isp_prob": 0.0, "low_light_prob": 0.6, "synthetic_scene_prob": 0.0}
_KEEP = 0.7
"""Default of `TrainConfig.keep`, the fraction of the initial weights in the result."""


@dataclass(frozen=True)
class NoiseAnalysis:
    """Results of a noise analysis: denoised references (PNG files), and cameras with the folder's noise."""

    clean: list[Path]
    cameras: list[Camera]

    def method_args(self) -> dict[str, object]:
        """Build the settings of `methods.simulated` that use these cameras."""
        return {"cameras": [asdict(camera) for camera in self.cameras]}


def adapt(
    settings: TrainConfig,
    photos: Sequence[Path],
    start: Path,
    folder: Path,
    *,
    device: str = "auto",
    report: Callable[[float], None] = lambda _: None,
) -> tuple[TrainConfig, list[Path]]:
    """Analyze noisy photos with the weights `start`, for a method that trains on clean photos or for `subimages`.

    Returns the settings of a run that starts from `start`, and the photos to train on: clean ones, which are in
    `folder`, or for `subimages` the noisy ones. The time of the analysis is subtracted from a budget in minutes, at
    most half of it.

    Raises
    ------
    NoInputError
        No photo can be read.
    UsageError
        The method is `subimages`, and the photos have no noise or one that it cannot learn from.
    ModelError
        `start` cannot be used.
    """
    began = time.monotonic()
    report(0.0)
    keep = _KEEP if settings.keep is None else settings.keep
    photos = large_enough(photos, settings.patch)
    if settings.method == SubImages.name:
        distance = measure_distance(photos, report)
        settings = replace(settings, keep=keep, method_args={"distance": distance, **settings.method_args})
        return _without_time_since(began, settings), photos
    backend = load_backend(start, device=device, precision=settings.precision)
    found = analyze_noise(photos, backend, folder, smallest=settings.patch, seed=settings.seed, report=report)
    probabilities = _PROBABILITIES if found.cameras else {}  # without fitted cameras, all examples have random ones
    settings = replace(
        settings, keep=keep, method_args={**probabilities, **settings.method_args, **found.method_args()}
    )
    return _without_time_since(began, settings), found.clean


def _without_time_since(began: float, settings: TrainConfig) -> TrainConfig:
    """Subtract the time since `began`, in seconds of the monotonic clock, from a budget in minutes: half at most."""
    if settings.minutes is None:
        return settings
    left = settings.minutes - (time.monotonic() - began) / 60
    return replace(settings, minutes=max(left, settings.minutes / 2))


def references_in(folder: Path) -> list[Path]:
    """List the denoised references that `adapt` wrote into a run's folder."""
    return sorted(folder.glob("*.png"))


def analyze_noise(
    photos: Sequence[Path],
    backend: Backend,
    folder: Path,
    *,
    smallest: int,
    seed: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> NoiseAnalysis:
    """Analyze the noise of up to 48 photos and write their denoised references (PNG, 16 bit) into `folder`.

    Parameters
    ----------
    backend : Backend
        A denoiser, scale 1.
    smallest : int
        Side in pixels below which no reference is reduced.
    report : callable
        Called with the fraction that is done.

    Raises
    ------
    NoInputError
        No photo can be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in references_in(folder):  # of an analysis that was stopped
        old.unlink()
    chosen = to_analyze(photos)
    clean: list[Path] = []
    patches: list[FlatPatches] = []
    for index, path in enumerate(chosen):
        rng = np.random.default_rng((seed, index))
        try:
            noisy = _window(read_srgb(path), _WINDOW, rng)
        except InputError:
            continue
        denoised = np.clip(np.asarray(process(Frame(noisy), backend).pixels, np.float32), 0, 1)
        patches += [patch] if (patch := flattest(noisy, denoised)) else []
        clean.append(folder / f"{index:04d}.png")
        write(Frame(from_unit(_reduced(denoised, smallest), np.uint16)), clean[-1], overwrite=True)
        report((index + 1) / len(chosen) / 2)
    if not clean:
        raise NoInputError(f"None of the {len(photos)} photos can be read.")
    cameras = fit_cameras(most_informative(patches), np.random.default_rng(seed), lambda done: report((1 + done) / 2))
    report(1.0)
    return NoiseAnalysis(clean, cameras)


def _window(pixels: NDArray[np.generic], side: int, rng: np.random.Generator) -> Picture:
    """Crop pixels (H, W, C) at a random place to at most `side` × `side`, as (h, w, 3) in [0, 1]."""
    y, x = (int(rng.integers(max(length - side, 0) + 1)) for length in pixels.shape[:2])
    part = to_unit(pixels[y : y + side, x : x + side])  # pyright: ignore[reportArgumentType]
    return np.ascontiguousarray(np.broadcast_to(part, (*part.shape[:2], 3)))


def _reduced(picture: Picture, smallest: int) -> Picture:
    """Halve the size, and so the remaining noise, unless the result is too small to train on."""
    import cv2

    height, width = picture.shape[:2]
    if min(height, width) < 2 * smallest:
        return picture
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)

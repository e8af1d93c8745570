"""Learning a photographer's own noise from noisy photos alone, for networks that have no blind spot.

::

    noisy photo ── the weights to start from ──→ nearly clean ── reduced by half ──→ a clean photo to train on
         └── what noise has it? ──→ simulated cameras that give the nearly clean photo the same noise

The cameras then photograph the clean photos (`methods.simulated`), beside random ones, so that nothing is forgotten.
Which cameras they are is found by trial, as approximate Bayesian computation does: draw one, set its noise to the
photo's level, photograph the nearly clean photo, measure as the noisy one was measured, in the same flat places (the
bias of it cancels), and keep those that come closest; then try mixtures of these with others.

What such a run writes is half way between the weights that it began with and those that it learned: that keeps most of
what was won on the own camera, and loses little elsewhere (Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsp_cli import engine
from nsp_cli.backends.base import Backend
from nsp_cli.errors import InputError, NoInputError
from nsp_cli.image import Frame, from_unit, read_srgb, to_unit, write
from nsp_cli.loading import load_backend
from nsp_cli.luma import luma as luma_of
from nsp_cli.noise import estimate
from nsp_cli.simulation import Camera, Picture, random_camera, simulate
from nsp_cli.training.settings import TrainSettings

_PHOTOS = 48
_WINDOW = 1024
_STUDIED = 8
_LOOK = 256
_ROUNDS = 3
_DRAWS = 16
_KEPT = 4
_TAKEN = 0.3
_CELL = 24
_FINE = 6.0
_LAGS = (1, 2, 4, 8)
_FAINT = 0.3
"""In 8-bit units: less noise than this cannot be told from none."""

_KEEP = 0.5
"""Of the weights to start from, see `TrainSettings.keep`."""


@dataclass(frozen=True)
class Study:
    """What was learned of a folder: nearly clean photos on the disk, and cameras that make its noise."""

    clean: list[Path]
    cameras: list[Camera]

    def method_args(self) -> dict[str, object]:
        """The settings of `methods.simulated` that make use of it."""
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
    keep = _KEEP if settings.keep is None else settings.keep
    settings = replace(settings, keep=keep, method_args={**settings.method_args, **found.method_args()})
    if settings.minutes is not None:
        left = settings.minutes - (time.monotonic() - began) / 60
        settings = replace(settings, minutes=max(left, settings.minutes / 2))
    return settings, found.clean


def copies_in(folder: Path) -> list[Path]:
    """The clean photos that `adapt` left in a run's folder, for the run to go on with."""
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
    chosen = [photos[i * len(photos) // _PHOTOS] for i in range(_PHOTOS)] if len(photos) > _PHOTOS else list(photos)
    clean: list[Path] = []
    cameras: list[Camera] = []
    looks: list[tuple[Picture, Picture]] = []
    for index, path in enumerate(chosen):
        rng = np.random.default_rng((seed, index))
        try:
            noisy = _window(read_srgb(path), _WINDOW, rng)
        except InputError:
            continue
        denoised = np.clip(np.asarray(engine.process(Frame(noisy), backend).pixels, np.float32), 0, 1)
        if index * _STUDIED // len(chosen) != (index - 1) * _STUDIED // len(chosen) or len(chosen) <= _STUDIED:
            looks.append(_same_part(noisy, denoised, rng))
            cameras += match(*looks[-1], rng)
        clean.append(folder / f"{index:04d}.png")
        write(Frame(from_unit(_reduced(denoised, smallest), np.uint16)), clean[-1], overwrite=True)
        report((index + 1) / len(chosen))
    if not clean:
        raise NoInputError(f"None of the {len(photos)} photos can be read.")
    return Study(clean, _agreeing(cameras, looks, np.random.default_rng(seed)))


def match(noisy: Picture, clean: Picture, rng: np.random.Generator) -> list[Camera]:
    """The few of many cameras whose photos of `clean` have the noise that `noisy` has, nearest first.

    Both are (H, W, 3), sRGB-encoded in [0, 1], of the same scene. The first cameras are drawn at random; those of each
    later round take some settings of a random camera and the others of one of the nearest so far. Empty where there is
    no noise to speak of.
    """
    if estimate(noisy).luma < _FAINT:
        return []
    measure = _Measure(clean)
    wanted = measure(noisy, clean)
    nearest: list[tuple[float, Camera]] = []
    for _ in range(_ROUNDS):
        draws = [random_camera(rng) for _ in range(_DRAWS)]
        if nearest:
            draws = [_crossed(nearest[i % _KEPT][1], draw, rng) for i, draw in enumerate(draws)]
        nearest += [_calibrated(camera, wanted, measure, rng) for camera in draws]
        nearest = sorted(nearest, key=lambda pair: pair[0])[:_KEPT]
    return [camera for _, camera in nearest]


def _agreeing(
    cameras: list[Camera], looks: Sequence[tuple[Picture, Picture]], rng: np.random.Generator
) -> list[Camera]:
    """Those that make the noise of other photos too, once its level is set right: one photo's may fit by chance."""
    measures = [(_Measure(clean), noisy) for noisy, clean in looks if estimate(noisy).luma >= _FAINT]
    wanted = [(measure(noisy, measure.clean), measure) for measure, noisy in measures]
    apart = [np.mean([_calibrated(camera, its, measure, rng)[0] for its, measure in wanted]) for camera in cameras]
    return [cameras[index] for index in np.argsort(apart)[: max(len(cameras) // 4, _KEPT)]]


def _crossed(parent: Camera, other: Camera, rng: np.random.Generator) -> Camera:
    taken = {field.name: getattr(other, field.name) for field in fields(Camera) if rng.random() < _TAKEN}
    return replace(parent, **taken)


def _calibrated(camera: Camera, wanted: _Features, measure: _Measure, rng: np.random.Generator) -> tuple[float, Camera]:
    """How far this camera's noise is from the wanted one, once its level is set right."""
    camera = replace(camera, exposure=1.0, lens=0.0)
    found = measure(*simulate(measure.clean, camera, rng))
    for _ in range(2):
        gain = float(np.clip(np.exp(np.mean(wanted.luma - found.luma)), 0.1, 10))
        camera = replace(camera, shot_gain=camera.shot_gain * gain**2, read_noise=camera.read_noise * gain)
        found = measure(*simulate(measure.clean, camera, rng))
    return sum(float(np.mean((mine - its) ** 2)) for mine, its in zip(found, wanted, strict=True)), camera


class _Features(NamedTuple):
    """What tells one camera's noise from another's."""

    luma: NDArray[np.float64]  # (3,) logarithms of standard deviations in 8-bit units: dark, middle and bright places
    chroma: NDArray[np.float64]  # (3, 2) the same of R − Y and of B − Y
    correlation: NDArray[np.float64]  # (lags, 3) of all three


class _Measure:
    """The noise of photos of a (nearly) clean picture, by how much more power they have in its flat places."""

    def __init__(self, clean: Picture) -> None:
        self.clean = clean
        cells = _cells(luma_of(clean)[..., None])[..., 0]
        flattest = np.argsort(cells.std((1, 2)))[: max(len(cells) // 4, 3)]
        self._flat = flattest[np.argsort(cells.mean((1, 2))[flattest])]  # from the darkest to the brightest

    def __call__(self, photo: Picture, answer: Picture) -> _Features:
        """Power is what adds up: noise that is left in `answer` by a denoiser is hardly missed."""
        by_light, by_lag = (np.subtract(*both) for both in zip(*map(self._power, (photo, answer)), strict=True))
        levels = np.log(np.maximum(by_light, _FAINT**2)) / 2
        return _Features(levels[:, 0], levels[:, 1:], by_lag[1:] / np.maximum(by_lag[0], _FAINT**2))

    def _power(self, photo: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Power of luma, R − Y and B − Y finer than `_FINE` pixels, in three groups of cells, and by lag in all."""
        import cv2

        fine = np.asarray(photo - cv2.GaussianBlur(photo, (0, 0), _FINE), np.float32) * 255
        luma = luma_of(fine)[..., None]
        cells = _cells(np.concatenate([luma, fine[..., :1] - luma, fine[..., 2:] - luma], 2))[self._flat]
        by_light = [(part**2).mean((0, 1, 2)) for part in np.array_split(cells, 3)]
        by_lag = [(cells**2).mean((0, 1, 2))]
        for lag in _LAGS:
            across, down = cells[:, :, lag:] * cells[:, :, :-lag], cells[:, lag:] * cells[:, :-lag]
            by_lag.append((across.mean((0, 1, 2)) + down.mean((0, 1, 2))) / 2)
        return np.array(by_light, np.float64), np.array(by_lag, np.float64)


def _cells(planes: Picture) -> Picture:
    """(H, W, C) → (N, s, s, C), squares of `_CELL` pixels, or of the whole where that is less."""
    height, width, channels = planes.shape
    side = min(_CELL, height, width)
    rows, columns = height // side, width // side
    cut = planes[: rows * side, : columns * side].reshape(rows, side, columns, side, channels)
    return cut.swapaxes(1, 2).reshape(-1, side, side, channels)


def _window(pixels: NDArray[np.generic], side: int, rng: np.random.Generator) -> Picture:
    """A part of (H, W, C) pixels at a random place, at most `side` in height and width, as (h, w, 3) in [0, 1]."""
    y, x = (int(rng.integers(max(length - side, 0) + 1)) for length in pixels.shape[:2])
    part = to_unit(pixels[y : y + side, x : x + side])  # pyright: ignore[reportArgumentType]
    return np.ascontiguousarray(np.broadcast_to(part, (*part.shape[:2], 3)))


def _same_part(noisy: Picture, clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    y, x = (int(rng.integers(max(length - _LOOK, 0) + 1)) for length in noisy.shape[:2])
    where = (slice(y, y + _LOOK), slice(x, x + _LOOK))
    return noisy[where], clean[where]


def _reduced(picture: Picture, smallest: int) -> Picture:
    """Half the size, which halves what noise was left, where that is large enough to train on."""
    import cv2

    height, width = picture.shape[:2]
    if min(height, width) < 2 * smallest:
        return picture
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)

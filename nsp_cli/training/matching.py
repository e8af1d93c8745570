"""Whose noise is this? Simulated cameras that give nearly clean photos the noise that the noisy ones have.

Found by trial, as approximate Bayesian computation does: draw a camera, set its noise to each photo's level, photograph
the flattest places of the nearly clean photos, measure as the noisy ones were measured (the bias of it cancels), and
keep those that come closest; then try what lies between these and others. A camera has to fit all photos at once: one
photo's noise may be made by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from math import isqrt
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nsp_cli.luma import luma as luma_of
from nsp_cli.noise import estimate
from nsp_cli.simulation import Camera, Picture, random_camera, simulate

_DRAWS = (24, 16, 16, 16)
"""Cameras that are tried in each round."""

_KEPT = 4
_LOOKS = 6
_FLAT = 0.5
_TAKEN = 0.3
_TILE = 64
_MOST = 16
_MARGIN = 12
"""Of a tile, where its neighbours are felt; what is left of it is measured."""

_FINE = 6.0
_LAGS = (1, 2, 3, 5, 8)
_SURE = 4.0
"""How much more surely a correlation is measured than the logarithm of a level is."""

_FAINT = 0.3
"""In 8-bit units: less noise than this cannot be told from none."""


class Look(NamedTuple):
    """Flat places of a noisy photo and of what is nearly its clean one, both (n·64, n·64, 3), see `flattest`."""

    noisy: Picture
    clean: Picture
    noise: float  # standard deviation of luma in 8-bit units
    detail: float  # what the clean one has of it


def flattest(noisy: Picture, clean: Picture) -> Look | None:
    """The tiles of two (H, W, 3) pictures, sRGB-encoded in [0, 1], that have the least detail in the clean one.

    They are put together to a square of up to 4×4. None where there is no noise to speak of, or less than 2×2 tiles.
    Texture would be taken for noise, and where both are strong the noise of one shot tells nothing about another.
    """
    noise = estimate(noisy).luma
    tiles, details = _tiles(clean), _inner(_tiles(_fine(clean))).std((1, 2)).mean(1)
    side = min(isqrt(max(len(tiles) // 4, 4)), isqrt(_MOST))
    if len(tiles) < side * side or noise < _FAINT:
        return None
    chosen = np.argsort(details)[: side * side]
    detail = 255 * float(details[chosen].mean())
    return Look(_together(_tiles(noisy)[chosen], side), _together(tiles[chosen], side), noise, detail)


def telling(looks: Sequence[Look]) -> list[Look]:
    """A few of them whose noise stands out from their detail (at least the best one), from little to much noise."""
    by_detail = sorted(looks, key=lambda look: look.detail / look.noise)
    clear = [look for look in by_detail if look.detail < _FLAT * look.noise] or by_detail[:1]
    by_noise = sorted(clear, key=lambda look: look.noise)
    return [by_noise[i * len(clear) // _LOOKS] for i in range(_LOOKS)] if len(clear) > _LOOKS else by_noise


def match(
    looks: Sequence[Look], rng: np.random.Generator, report: Callable[[float], None] = lambda _: None
) -> list[Camera]:
    """The few of many cameras that make the noise of all photos, nearest first, each at every photo's noise level.

    The first cameras are drawn at random; those of each later round have some settings of one of the nearest so far,
    some of a random camera, and some half-way between. Empty without photos. `report` is
    called with the share that is done.
    """
    measures = [_Measure(look.noisy, look.clean) for look in looks]
    if not measures:
        return []
    nearest: list[_Trial] = []
    for done, draws in enumerate(_DRAWS):
        report(done / len(_DRAWS))
        cameras = [random_camera(rng) for _ in range(draws)]
        if nearest:
            cameras = [_between(nearest[i % _KEPT].cameras[0], camera, rng) for i, camera in enumerate(cameras)]
        nearest += [_try(camera, measures, rng) for camera in cameras]
        nearest = sorted(nearest, key=lambda trial: trial.apart)[:_KEPT]
    return [camera for trial in nearest for camera in trial.cameras]


def _between(parent: Camera, other: Camera, rng: np.random.Generator) -> Camera:
    chosen: dict[str, object] = {}
    for field in fields(Camera):
        mine, its, chance = getattr(parent, field.name), getattr(other, field.name), rng.random()
        if chance < _TAKEN / 2:
            chosen[field.name] = its
        elif chance < 2 * _TAKEN and isinstance(mine, float) and isinstance(its, float):
            chosen[field.name] = (mine + its) / 2
    return replace(parent, **chosen)  # pyright: ignore[reportArgumentType]


class _Trial(NamedTuple):
    """A camera with each photo's level of noise, and how far its noise is from the wanted one on the mean."""

    apart: float
    cameras: list[Camera]


def _try(camera: Camera, measures: Sequence[_Measure], rng: np.random.Generator) -> _Trial:
    found = [_calibrated(camera, measure, rng) for measure in measures]
    return _Trial(float(np.mean([apart for apart, _ in found])), [camera for _, camera in found])


def _calibrated(camera: Camera, measure: _Measure, rng: np.random.Generator) -> tuple[float, Camera]:
    """How far this camera's noise is from the wanted one, once its level is set right."""
    camera = replace(camera, exposure=1.0, lens=0.0)
    found = measure(*simulate(measure.clean, camera, rng))
    for _ in range(2):
        gain = float(np.clip(np.exp(np.mean(measure.wanted.luma - found.luma)), 0.1, 10))
        camera = replace(camera, shot_gain=camera.shot_gain * gain**2, read_noise=camera.read_noise * gain)
        found = measure(*simulate(measure.clean, camera, rng))
    luma, chroma, correlation = (
        float(np.mean((mine - its) ** 2)) for mine, its in zip(found, measure.wanted, strict=True)
    )
    return luma + chroma + _SURE * correlation, camera


class _Features(NamedTuple):
    """What tells one camera's noise from another's."""

    luma: NDArray[np.float64]  # (3,) logarithms of standard deviations in 8-bit units: dark, middle and bright places
    chroma: NDArray[np.float64]  # (3, 2) the same of R − Y and of B − Y
    correlation: NDArray[np.float64]  # (lags, 3) of all three


class _Measure:
    """The noise of photos of (nearly) clean flat places, by how much more power they have."""

    def __init__(self, noisy: Picture, clean: Picture) -> None:
        self.clean = clean
        self._order = np.argsort(_tiles(luma_of(clean)[..., None]).mean((1, 2, 3)))  # from the darkest on
        self.wanted = self(noisy, clean)

    def __call__(self, photo: Picture, answer: Picture) -> _Features:
        """Power is what adds up: noise that is left in `answer` by a denoiser is hardly missed."""
        by_light, by_lag = (np.subtract(*both) for both in zip(*map(self._power, (photo, answer)), strict=True))
        levels = np.log(np.maximum(by_light, _FAINT**2)) / 2
        return _Features(levels[:, 0], levels[:, 1:], by_lag[1:] / np.maximum(by_lag[0], _FAINT**2))

    def _power(self, photo: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Power of luma, R − Y and B − Y in three groups of tiles, and by lag in all."""
        fine = _fine(photo) * 255
        luma = luma_of(fine)[..., None]
        cells = _inner(_tiles(np.concatenate([luma, fine[..., :1] - luma, fine[..., 2:] - luma], 2)))[self._order]
        by_light = [(part**2).mean((0, 1, 2)) for part in np.array_split(cells, 3)]
        by_lag = [(cells**2).mean((0, 1, 2))]
        for lag in _LAGS:
            across, down = cells[:, :, lag:] * cells[:, :, :-lag], cells[:, lag:] * cells[:, :-lag]
            by_lag.append((across.mean((0, 1, 2)) + down.mean((0, 1, 2))) / 2)
        return np.array(by_light, np.float64), np.array(by_lag, np.float64)


def _fine(photo: Picture) -> Picture:
    """What is finer than `_FINE` pixels."""
    return np.asarray(photo - cv2.GaussianBlur(photo, (0, 0), _FINE), np.float32)


def _tiles(planes: Picture) -> Picture:
    """(H, W, C) → (N, 64, 64, C)."""
    rows, columns = planes.shape[0] // _TILE, planes.shape[1] // _TILE
    cut = planes[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE, planes.shape[2])
    return cut.swapaxes(1, 2).reshape(-1, _TILE, _TILE, planes.shape[2])


def _inner(tiles: Picture) -> Picture:
    return tiles[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _together(tiles: Picture, side: int) -> Picture:
    """(n², 64, 64, C) → (n·64, n·64, C)."""
    rows = tiles.reshape(side, side, _TILE, _TILE, -1).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(side * _TILE, side * _TILE, -1))

"""Fit simulated-camera parameters to measured noise.

The method is approximate Bayesian computation: draw a camera, scale its noise to each photo's level, simulate it on the
flattest patches of the denoised references, measure the result as the noisy photos were measured (the bias cancels),
and keep the nearest cameras; then try cameras between these and others. A camera has to fit all photos at once, since
it may fit the noise of a single one by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from math import isqrt, sqrt
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.luma import luma as luma_of
from nsp_cli.noise.correlation import autocovariance, diagonal
from nsp_cli.simulation.camera import Camera, Picture, random_camera, simulate

_TILE = 64
_MOST = 16
"""Largest number of tiles that are used of a photo."""

_MARGIN = 12
"""Border of a tile in pixels that is not measured: its neighbours reach two radii of `_FINE` into it."""

_FINE = 6.0
"""Standard deviation in pixels of the high-pass filter that removes a photo's light and colour."""

_CLIPPED = 0.02
"""Largest fraction of a tile's pixels that may be black or white, where noise is clipped."""

_FITTED = 6
_FLAT = 0.5
"""Number of photos to which a camera is fitted, and the largest ratio of their detail to their noise."""

_DRAWS = (24, 16, 16, 16)
_KEPT = 4
"""Number of cameras that are tried in each round, and of those that the next round starts from."""

_TAKEN, _HALF_WAY = 0.15, 0.45
"""Fractions of a camera's settings that are replaced by another camera's, and that move half-way to them."""

_FINE_JPEG = 90
_BOUNDS = {"shot_gain": (1e-6, 1.0), "read_noise": (1e-6, 0.5)}
_LAGS = (0, 1, 2, 3, 5, 8)
_SURE = 4.0
"""Weight of correlations, which are measured more precisely than the logarithms of levels."""

_FAINT = 0.3
"""Standard deviation in 8-bit units below which noise cannot be measured."""


class FlatPatches:
    """Flat patches of a noisy photo and of its denoised reference, (n·64, n·64, 3) each, with measurements.

    Attributes
    ----------
    noise, detail
        Standard deviations of luma in 8-bit units, of the noise and of the clean patches.
    """

    def __init__(self, noisy: Picture, clean: Picture) -> None:
        self.noisy, self.clean = noisy, clean
        self._order = np.argsort(_tiles(luma_of(clean)[..., None]).mean((1, 2, 3)), kind="stable")  # the darkest first
        self.grey = bool(np.ptp(noisy, 2).max() == 0)
        seen, answer = self._power(noisy), self._power(clean)
        self.measured = _Features.of(seen, answer)
        self.detail = sqrt(answer.by_lag[0, 0])
        self.noise = sqrt(max(seen.by_lag[0, 0] - answer.by_lag[0, 0], 0.0))

    def measure(self, photo: Picture, answer: Picture) -> _Features:
        """Measure the noise of a photo of the same patches, given its clean reference."""
        return _Features.of(self._power(photo), self._power(answer))

    def distance(self, found: _Features) -> float:
        """Return the distance between a camera's noise and the measured one.

        The correlation of faint noise is not used, nor the colours of a grey photo.
        """
        luma, chroma, correlation = (np.square(np.subtract(*both)) for both in zip(found, self.measured, strict=True))
        known = np.append(True, (self.measured.chroma.max(0) > np.log(_FAINT)) & (not self.grey))
        return float(luma.mean() + (0 if self.grey else chroma.mean()) + _SURE * correlation[:, known].mean())

    def _power(self, photo: Picture) -> _Power:
        fine = _fine(photo) * 255
        luma = luma_of(fine)
        planes = [luma, fine[..., 0] - luma, fine[..., 2] - luma]
        cells = [_inner(_tiles(plane[..., None]))[self._order, ..., 0] for plane in planes]
        by_light = [[np.mean(part**2) for part in np.array_split(cell, 3)] for cell in cells]
        by_lag = [[*autocovariance(cell, _LAGS), diagonal(cell)] for cell in cells]
        return _Power(np.array(by_light, np.float64).T, np.array(by_lag, np.float64).T)


class _Power(NamedTuple):
    """Power of luma, R − Y and B − Y, in 8-bit units squared."""

    by_light: NDArray[np.float64]  # (3, 3) in dark, middle and bright places
    by_lag: NDArray[np.float64]  # (lags, 3) autocovariance in all, the last one along diagonals


class _Features(NamedTuple):
    """Measurements that distinguish the noise of one camera from another's."""

    luma: NDArray[np.float64]  # (3,) logarithms of standard deviations in 8-bit units: dark, middle and bright places
    chroma: NDArray[np.float64]  # (3, 2) the same of R − Y and of B − Y
    correlation: NDArray[np.float64]  # (lags − 1, 3) of all three

    @classmethod
    def of(cls, photo: _Power, answer: _Power) -> _Features:
        """Subtract the reference's power, so that residual noise in the reference hardly counts."""
        by_light, by_lag = photo.by_light - answer.by_light, photo.by_lag - answer.by_lag
        levels = np.log(np.maximum(by_light, _FAINT**2)) / 2
        correlation = np.clip(by_lag[1:] / np.maximum(by_lag[0], _FAINT**2), -1, 1)
        return cls(levels[:, 0], levels[:, 1:], correlation)


def flattest(noisy: Picture, clean: Picture) -> FlatPatches | None:
    """Select the tiles of two (H, W, 3) pictures, sRGB in [0, 1], with the least detail in the clean one.

    The tiles form a square of up to 4×4. None if the noise is too faint, or if there are less than 2×2 tiles. Texture
    would be measured as noise.
    """
    tiles, shot = _tiles(clean), _tiles(noisy)
    side = min(isqrt(max(len(tiles) // 4, 4)), isqrt(_MOST))
    count = side * side
    if len(tiles) < count:
        return None
    clipped = ((shot < 0.5 / 255) | (shot > 254.5 / 255)).any(3).mean((1, 2))
    # If too few tiles are free of black and white, the least clipped ones are used.
    free = np.flatnonzero(clipped <= max(_CLIPPED, float(np.sort(clipped)[count - 1])))
    details = _inner(_tiles(luma_of(_fine(clean))[..., None]))[free].std((1, 2, 3))
    chosen = free[np.argsort(details, kind="stable")[:count]]
    patch = FlatPatches(_together(shot[chosen], side), _together(tiles[chosen], side))
    return patch if patch.noise >= _FAINT else None


def most_informative(patches: Sequence[FlatPatches]) -> list[FlatPatches]:
    """Select a few whose noise exceeds their detail (at least the best one), in order of increasing noise."""
    by_detail = sorted(patches, key=lambda patch: patch.detail / patch.noise)
    clear = [patch for patch in by_detail if patch.detail < _FLAT * patch.noise] or by_detail[:1]
    by_noise = sorted(clear, key=lambda patch: patch.noise)
    return [by_noise[i * len(clear) // _FITTED] for i in range(_FITTED)] if len(clear) > _FITTED else by_noise


def fit_cameras(
    patches: Sequence[FlatPatches], rng: np.random.Generator, report: Callable[[float], None] = lambda _: None
) -> list[Camera]:
    """Fit cameras to the noise of all photos, nearest first, each at every photo's noise level.

    The first cameras are drawn at random; those of each later round have some settings of one of the nearest so far,
    some of a random camera, and some half-way between. Empty without photos. `report` is called with the
    fraction that is done.
    """
    nearest: list[_Trial] = []
    for done, draws in enumerate(_DRAWS if patches else ()):
        cameras = [_noise_maker(random_camera(rng)) for _ in range(draws)]
        if nearest:
            cameras = [_between(nearest[i % len(nearest)].cameras[0], c, rng) for i, c in enumerate(cameras)]
        for tried, camera in enumerate(cameras):
            report((done + tried / draws) / len(_DRAWS))
            nearest.append(_try(camera, patches, rng))
        nearest = sorted(nearest, key=lambda trial: trial.distance)[:_KEPT]
    return [camera for trial in nearest for camera in trial.cameras]


def _noise_maker(camera: Camera) -> Camera:
    """Remove the settings that change the picture itself, and coarse JPEG, which removes detail."""
    fine = camera.jpeg_quality is None or camera.jpeg_quality >= _FINE_JPEG
    return replace(camera, exposure=1.0, lens=0.0, jpeg_quality=camera.jpeg_quality if fine else None)


def _between(parent: Camera, other: Camera, rng: np.random.Generator) -> Camera:
    """Mix two cameras: each parameter is that of `parent`, that of `other`, or one half-way between them."""
    chosen: dict[str, object] = {}
    for field in fields(Camera):
        mine, its, chance = getattr(parent, field.name), getattr(other, field.name), rng.random()
        if chance < _TAKEN:
            chosen[field.name] = its
        elif chance < _TAKEN + _HALF_WAY and isinstance(mine, float | int) and isinstance(its, float | int):
            middle = sqrt(mine * its) if field.name in _BOUNDS else (mine + its) / 2
            chosen[field.name] = round(middle) if isinstance(mine, int) else middle
    return replace(parent, **chosen)  # pyright: ignore[reportArgumentType]


class _Trial(NamedTuple):
    """A camera at each photo's noise level, and the mean distance of its noise from the measured one."""

    distance: float
    cameras: list[Camera]


def _try(camera: Camera, patches: Sequence[FlatPatches], rng: np.random.Generator) -> _Trial:
    found = [_calibrated(camera, patch, rng) for patch in patches]
    return _Trial(float(np.mean([distance for distance, _ in found])), [camera for _, camera in found])


def _calibrated(camera: Camera, patch: FlatPatches, rng: np.random.Generator) -> tuple[float, Camera]:
    """Scale a camera's noise to a photo's level; returns the remaining distance and the camera."""
    found = patch.measure(*simulate(patch.clean, camera, rng))
    for _ in range(2):
        gain = float(np.exp(np.mean(patch.measured.luma - found.luma)))
        levels = {"shot_gain": camera.shot_gain * gain**2, "read_noise": camera.read_noise * gain}
        camera = replace(camera, **{name: float(np.clip(level, *_BOUNDS[name])) for name, level in levels.items()})
        found = patch.measure(*simulate(patch.clean, camera, rng))
    return patch.distance(found), camera


def _fine(photo: Picture) -> Picture:
    return np.asarray(photo - cv2.GaussianBlur(photo, (0, 0), _FINE), np.float32)


def _tiles(planes: Picture) -> Picture:
    """Cut a picture (H, W, C) into tiles (N, 64, 64, C)."""
    rows, columns = planes.shape[0] // _TILE, planes.shape[1] // _TILE
    cut = planes[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE, planes.shape[2])
    return cut.swapaxes(1, 2).reshape(-1, _TILE, _TILE, planes.shape[2])


def _inner(tiles: Picture) -> Picture:
    return tiles[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _together(tiles: Picture, side: int) -> Picture:
    """Arrange tiles (n², 64, 64, C) in a square picture (n·64, n·64, C)."""
    rows = tiles.reshape(side, side, _TILE, _TILE, -1).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(side * _TILE, side * _TILE, -1))

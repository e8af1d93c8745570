"""Training examples of sharp texture with little noise or none, whose noise level is nevertheless measured as high.

Leaves, hair or print that fill a photo leave no flat area from which noise could be measured, so that texture is
measured as noise. A small network ignores such a level only after many of these examples: half of them are photos that
were reduced, the others are drawn. Pictures are (P, P, 3) uint8 RGB.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from nsp_cli.methods.base import Crop
from nsp_cli.methods.simulated import Example
from nsp_cli.noise.estimate import noise_level
from nsp_cli.simulation.camera import neutral_camera, simulate

Picture = NDArray[np.uint8]

_DRAWN_PROB = 0.5
_NOISY_PROB = 0.35  # of examples with some noise
_LEVEL_ERROR = (0.8, 1.3)  # factors of the level that is measured
_SIZES = (0.7, 9.0)  # of drawn shapes, in pixels
_MOST = 26_000  # shapes in a picture
_LETTERS = np.array(list(string.ascii_letters + string.digits + "    .,:;-/+"))


def sharp_example(crop: Crop, rng: np.random.Generator) -> Crop:
    """Make an example of `methods.simulated` with half the crop's side, (2·p, 2·p, 3) in [0, 1] to (p, p, 7)."""
    side = crop.shape[0] // 2
    clean = np.asarray(_picture(crop, side, rng) / np.float32(255), np.float32)
    noisy = clean
    if rng.random() < _NOISY_PROB:
        noisy, clean = simulate(clean, neutral_camera(rng), rng)
        noisy = np.clip(clean + rng.uniform(0.1, 1) * (noisy - clean), 0, 1)
    measured = noise_level(np.rint(255 * noisy).astype(np.uint8)).trusted_luma
    return Example(noisy, clean, rng.uniform(*_LEVEL_ERROR) * measured / 255).pack(1)


def _picture(crop: Crop, side: int, rng: np.random.Generator) -> Picture:
    if rng.random() < _DRAWN_PROB:
        oversampling = int(rng.choice([1, 2, 3]))
        large = _DRAWINGS[int(rng.integers(len(_DRAWINGS)))](side * oversampling, oversampling, rng)
    else:
        large = np.rint(255 * crop).astype(np.uint8)
    picture = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.4:
        picture += rng.uniform(0.3, 1.5) * (picture - cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.2)))
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_shapes(side: int, unit: int, rng: np.random.Generator) -> Picture:
    """Draw leaves, shards, straight or curved lines over each other, of few colours and directions."""
    picture = _background(side, rng)
    colours = _colours(int(rng.integers(1, 6)), rng)
    contrast, spread, slim = rng.uniform(0.2, 0.9), rng.choice([5, 30, 180]), rng.uniform(0.15, 1)
    angle, kind = rng.uniform(0, 180), int(rng.integers(4))
    size = unit * float(np.exp(rng.uniform(*np.log(_SIZES))))
    for _ in range(min(int(rng.uniform(0.1, 1) * (side / size) ** 2), _MOST)):
        colour = [int(c) for c in np.clip(rng.choice(colours) * rng.uniform(1 - contrast, 1), 0, 255)]
        at, radius, turn = rng.uniform(0, side, 2), size * rng.uniform(0.6, 1.4), angle + rng.normal(0, spread)
        if kind == 0:
            axes = (max(1, round(radius)), max(1, round(radius * slim)))
            cv2.ellipse(picture, (int(at[0]), int(at[1])), axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            corners = at + radius * rng.normal(0, 1, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], colour, cv2.LINE_AA)
        else:
            along = np.linspace(0, rng.uniform(2, 20), 8)
            across = rng.normal() * np.sin(along / 2 + rng.uniform(0, 6.3)) if kind == 3 else 0 * along
            cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            points = at + radius * np.stack([along * cosine - across * sine, along * sine + across * cosine], 1)
            cv2.polylines(picture, [np.rint(points).astype(np.int32)], False, colour, 1, cv2.LINE_AA)
    return picture


def draw_print(side: int, unit: int, rng: np.random.Generator) -> Picture:
    """Draw lines of letters, from small to large ones."""
    picture, y = _background(side, rng), 0
    while y < side:
        size = unit * rng.uniform(0.15, 0.5) + 0.1
        y += round(30 * size) + 4
        text, colour = "".join(rng.choice(_LETTERS, 90)), [int(c) for c in _colours(1, rng)[0]]
        cv2.putText(picture, text, (-20, y), int(rng.integers(8)), size, colour, int(rng.integers(1, 3)), cv2.LINE_AA)
    return picture


def draw_waves(side: int, unit: int, rng: np.random.Generator) -> Picture:
    """Draw gratings that cross, as of cloth, fences and blinds."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    picture = np.zeros((side, side, 3), np.float32) + rng.uniform(60, 190, 3)
    for _ in range(int(rng.integers(1, 4))):
        frequency, angle = np.exp(rng.uniform(np.log(0.02), np.log(0.45))) / unit, rng.uniform(0, np.pi)
        bent = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 3) * np.sin(x / rng.uniform(20, 90))
        wave = np.sin(2 * np.pi * frequency * bent)
        wave = np.sign(wave) * np.abs(wave) ** rng.choice([0.3, 1])
        picture += (rng.uniform(5, 60) * wave)[..., None] * rng.uniform(0.5, 1, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


_DRAWINGS: tuple[Callable[[int, int, np.random.Generator], Picture], ...] = (
    draw_shapes,
    draw_shapes,
    draw_print,
    draw_waves,
)


def _colours(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0, 255, (count, 3)) * rng.uniform(0.3, 1, 3)


def _background(side: int, rng: np.random.Generator) -> Picture:
    """Draw a gradient between two colours, (side, side, 3)."""
    first, last = _colours(2, rng)
    down = np.linspace(0, 1, side)[:, None, None]
    return np.repeat(first * down + last * (1 - down), side, 1).astype(np.uint8)

"""A procedural picture, so that the demo, tests and benchmarks need no photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Scene = NDArray[np.uint8]
Colour = tuple[int, int, int]

# Scenes are uint8 RGB, lengths in pixels of the drawing, positions fractions of its size.

_OVERSAMPLING = 2  # the scene is drawn this many times larger and then averaged, so that its edges have no stairs
_HORIZON = 0.62  # of the height, from the top
_ZENITH, _DUSK = np.array([[0.16, 0.38, 0.72], [1.0, 0.80, 0.56]], np.float32)
_HAZE = np.array([0.90, 0.76, 0.70], np.float32)
_RIDGES = np.array([[0.50, 0.50, 0.66], [0.36, 0.42, 0.56], [0.20, 0.33, 0.38], [0.09, 0.23, 0.17]], np.float32)
_INK, _WOOD, _PAPER, _ROPE = (40, 44, 52), (84, 58, 36), (236, 230, 214), (60, 50, 45)
_PETALS: tuple[Colour, ...] = ((226, 50, 80), (250, 250, 246), (255, 200, 40), (132, 84, 206))
_GREYS: tuple[Colour, ...] = ((243, 243, 242), (160, 160, 160), (85, 85, 85), (30, 30, 30))
_SWATCHES = (*_GREYS, (175, 54, 60), (70, 148, 73), (56, 61, 150), (231, 199, 31))
_SMALL_PRINT = (("Boat house 350 m", 0.40), ("Summit trail 2 h 40", 0.40), ("ISO 6400  1/250 s  f/2.8", 0.30))
_Balloon = tuple[float, float, float, Colour, Colour]  # x, y, radius as a fraction of the shorter side, two colours
_BALLOONS: tuple[_Balloon, ...] = (
    (0.27, 0.26, 0.140, (212, 30, 40), (250, 198, 36)),
    (0.61, 0.15, 0.080, (24, 92, 190), (246, 246, 244)),
    (0.85, 0.33, 0.055, (24, 140, 76), (240, 124, 24)),
)


def sample_picture(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Paint a clean picture, (height, width, 3) sRGB-encoded float32 in [0, 1]: balloons over a mountain lake.

    It has what photos have and what denoisers get wrong: gradients, 1/f texture, sharp edges, grass in all directions,
    small print, saturated colours and greys.
    """
    rows, columns = max(_OVERSAMPLING * height, 64), max(_OVERSAMPLING * width, 64)
    scene = np.clip(_landscape(rows, columns, rng) * 255, 0, 255).astype(np.uint8)
    for balloon in _BALLOONS:
        _draw_balloon(scene, balloon)
    shore = round(_HORIZON * rows)
    scene[shore:] = _lake(scene[:shore], rows - shore, rng)
    unit = min(rows, columns) / 480
    _draw_meadow(scene, unit, rng)
    _draw_sign(scene, unit)
    through_lens = cv2.GaussianBlur(scene.astype(np.float32), (0, 0), 0.6 * _OVERSAMPLING) / np.float32(255)
    return cv2.resize(through_lens, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)


def _fractal(rows: int, columns: int, slope: float, rng: np.random.Generator) -> Picture:
    """Draw a 1/f^slope texture of mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.rfftfreq(columns, 1 / columns)[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((rows, columns))) / frequency**slope, (rows, columns))
    return (field / field.std()).astype(np.float32)


def _landscape(rows: int, columns: int, rng: np.random.Generator) -> Picture:
    """Draw sky, sun, clouds, and ridges in haze, (rows, columns, 3) around [0, 1]."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)[..., None] / np.float32(rows)
    down = np.clip(y / _HORIZON, 0, 1)
    picture = _ZENITH + (_DUSK - _ZENITH) * down**1.1
    sun = np.hypot(x - 0.74 * columns / rows, y - 0.38)
    picture += np.exp(-sun / 0.14) * np.array([0.55, 0.40, 0.15], np.float32)
    clouds = np.clip(0.5 * _fractal(rows, columns, 1.7, rng)[..., None] - 0.1, 0, 0.8) * (1 - 0.5 * down)
    picture += (np.array([1.0, 0.96, 0.92], np.float32) - picture) * clouds
    texture = _fractal(rows, columns, 1.0, rng)[..., None]
    for layer, rock in enumerate(_RIDGES):
        skyline = _fractal(1, columns, 1.3 - 0.12 * layer, rng)[0, :, None]
        crest = 0.36 + 0.07 * layer - (0.050 - 0.011 * layer) * skyline
        haze = np.clip(1 - 5 * (y - crest), 0, 1) * (0.6 - 0.2 * layer)
        colour = (rock + (_HAZE - rock) * haze) * (1 + (0.04 + 0.05 * layer) * texture)
        picture += (colour - picture) * np.clip((y - crest) * rows / _OVERSAMPLING, 0, 1)
    return picture


def _draw_balloon(scene: Scene, balloon: _Balloon) -> None:
    """Draw an envelope of striped gores, lit from the right, with ropes and a basket."""
    rows, columns = int(scene.shape[0]), int(scene.shape[1])
    x, y, radius = balloon[0] * columns, balloon[1] * rows, balloon[2] * min(rows, columns)

    def at(across: float, down: float) -> tuple[int, int]:
        return round(x + across * radius), round(y + down * radius)

    (left, top), (right, bottom) = at(-1, -1), at(1, 1.25)
    across, down = np.meshgrid(np.arange(right - left) / radius - 1, np.arange(bottom - top) / radius - 1)
    outline = np.where(down < 0, np.sqrt(np.maximum(1 - down**2, 0)), 1 - 0.62 * np.maximum(down, 0) ** 1.7)
    angle = np.arcsin(np.clip(across / np.maximum(outline, 1e-3), -1, 1))
    striped = (np.floor(angle / np.pi * 8 + 0.5) % 2 == 1) ^ ((down > 0.12) & (down < 0.30))
    shade = 0.40 + 0.72 * np.clip(np.cos(angle - 0.6), 0, 1) * (0.85 - 0.22 * down)
    cloth = np.where(striped[..., None], balloon[3], balloon[4]) * shade[..., None]
    inside = np.abs(across) < outline
    scene[top:bottom, left:right][inside] = np.clip(cloth, 0, 255).astype(np.uint8)[inside]
    for side in (-1, 1):
        cv2.line(scene, at(0.25 * side, 1.2), at(0.13 * side, 1.6), _ROPE, max(1, round(radius / 50)), cv2.LINE_AA)
    cv2.rectangle(scene, at(-0.16, 1.58), at(0.16, 1.82), _WOOD, -1)


def _lake(above: Scene, rows: int, rng: np.random.Generator) -> Scene:
    """Mirror the scene, darker and more rippled towards the viewer, (rows, columns, 3)."""
    height, columns = above.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    near = y / rows
    waves = cv2.resize(_fractal(rows, max(columns // 16, 2), 0.8, rng), (columns, rows), interpolation=cv2.INTER_CUBIC)
    waves = waves * (0.2 + near) * np.float32(columns / 160)
    source = np.clip(height - 1 - 1.25 * y + waves, 0, height - 1)
    mirrored = cv2.remap(above, x + 0.3 * waves, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    water = np.array([26, 62, 92], np.float32)
    return (water + (mirrored - water) * (0.85 - 0.35 * near[..., None])).astype(np.uint8)


def _draw_meadow(scene: Scene, unit: float, rng: np.random.Generator) -> None:
    """Draw thousands of blades of grass, back to front, and some flowers."""
    rows, columns = int(scene.shape[0]), int(scene.shape[1])
    for depth in np.sort(rng.uniform(0.85, 1.1, round(9 * columns / unit))):
        light, length, lean = rng.uniform(0.3, 1.0), rng.uniform(8, 24) * unit, rng.normal(0, 0.4)
        x = int(rng.integers(columns))
        y = round(rows * (depth + 0.045 * np.cos(2 * np.pi * (x / columns - 0.27))))
        tip = (round(x + lean * length), round(y - length))
        colour = (int(light * rng.uniform(70, 170)), int(light * 165), int(light * 50))
        cv2.line(scene, (x, y), tip, colour, max(1, round(unit)), cv2.LINE_AA)
        if rng.random() < 0.01:
            cv2.circle(scene, tip, round(2.6 * unit), _PETALS[int(rng.integers(len(_PETALS)))], -1, cv2.LINE_AA)


def _draw_sign(scene: Scene, unit: float) -> None:
    """Draw a signpost with small print over a row of grey and coloured patches."""

    def at(x: float, y: float) -> tuple[int, int]:
        return round(0.66 * scene.shape[1] + x * unit), round(0.58 * scene.shape[0] + y * unit)

    cv2.rectangle(scene, at(66, 90), at(74, 175), _WOOD, -1)
    cv2.rectangle(scene, at(-4, -4), at(144, 96), _WOOD, -1)
    cv2.rectangle(scene, at(0, 0), at(140, 92), _PAPER, -1)
    for line, (text, size) in enumerate((("Mirror Lake", 0.62), *_SMALL_PRINT)):
        where, weight = at(8, 20 + 17 * line), max(1, round(unit))
        cv2.putText(scene, text, where, cv2.FONT_HERSHEY_SIMPLEX, size * unit, _INK, weight, cv2.LINE_AA)
    for index, colour in enumerate(_SWATCHES):
        cv2.rectangle(scene, at(8 + 15.6 * index, 77), at(21 + 15.6 * index, 87), colour, -1)

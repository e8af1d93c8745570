"""Random painted scenes: opaque shapes of all sizes that cover one another, lettering among them.

Photos that are free and clean are few, and of landscapes and people. What lies on a desk is flatter: even surfaces,
sharp edges, shadows and small print. After the dead leaves model (Lee, Mumford and Huang, IJCV 2001), from which alone
networks learn to denoise photos (Achddou, Gousseau and Ladjal, SSVM 2021). Pictures are (P, P, 3) float32 in [0, 1],
sRGB-encoded.
"""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.luma import luma
from nsp_cli.simulation.bayer import Picture

Labels = NDArray[np.uint8]  # which shape is on top, so no layer has more than 254

_OVERSAMPLING = 2  # painted this many times larger and then averaged, so that edges have no stairs
_LEAVES = 120  # shapes in a scene, half of them in each of two layers
_LETTERS = np.array(list(string.ascii_letters + string.digits + "   .,:-"))


def dead_leaves(photo: Picture, rng: np.random.Generator) -> Picture:
    """Synthesize a dead-leaves scene with a photo's size, its colours and, in places, its fine texture."""
    side = photo.shape[0]
    light = luma(photo)
    detail = np.asarray(light - cv2.GaussianBlur(light, (0, 0), 3.0), np.float32)[..., None]
    scene = np.zeros_like(photo)
    for layer in range(2):
        labels = _arrange(side * _OVERSAMPLING, _LEAVES // 2, rng, covered=layer == 0)
        painted, mask = _paint(labels, photo, detail, rng)
        scene = scene * (1 - mask) + painted
        if layer == 0 and rng.random() < 0.5:  # what lies behind is out of focus
            scene = cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(0.5, 6.0)))
    lamps = 2 ** rng.normal(0, 0.3, (3, 3)).astype(np.float32)
    lit = scene * cv2.resize(lamps, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(lit, 0, 1).astype(np.float32)


def _arrange(side: int, count: int, rng: np.random.Generator, *, covered: bool) -> Labels:
    """Return the number of the shape on top, (side, side), from 1 on; 0 where there is none, unless all is covered."""
    labels = np.full((side, side), int(covered), np.uint8)
    smallest = side * float(np.exp(rng.uniform(np.log(0.01), np.log(0.15))))
    for label in range(2, count + 2):
        radius = min(smallest * (1 - rng.random()) ** -0.5, 0.6 * side)  # as many of each size as fill the same area
        where = rng.uniform(0, side, 2)
        if rng.random() < 0.1:
            text = "".join(rng.choice(_LETTERS, rng.integers(3, 25)))
            left, base = (round(float(v)) for v in where - (0.3 * side, 0))
            ink = np.zeros_like(labels)  # putText smooths its edges, which labels cannot be
            cv2.putText(
                ink, text, (left, base), int(rng.integers(8)), 0.04 * radius + 0.3, 255, int(rng.integers(1, 3))
            )
            labels[ink > 127] = label
        else:
            cv2.fillPoly(labels, [np.rint(where + radius * _outline(rng)).astype(np.int32)], label)
    return labels


def _outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an outline (points, 2) at any angle: ellipse, blob, polygon, bar or box around 0, of a radius near 1."""
    kind, angle = rng.integers(4), rng.uniform(0, 2 * np.pi)
    count = 4 if kind == 0 else int(rng.integers(3, 8)) if kind == 1 else 48
    turn = np.arange(count) * 2 * np.pi / count + np.pi / count
    radii = np.ones(count)
    if kind == 1:
        radii = rng.uniform(0.4, 1.0, count)
    elif kind == 2:
        radii += sum(rng.normal(0, 0.25 / k) * np.cos(k * turn + rng.uniform(0, 6.3)) for k in range(2, 6))
    points = np.stack([np.cos(turn), np.sin(turn) * rng.uniform(0.05, 1) ** 0.5], 1) * radii[:, None]
    return points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _paint(labels: Labels, photo: Picture, detail: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Colour, slope and texture for each shape.

    Returns (picture times mask, mask), both of the photo's size; mask is the fraction of a pixel that shapes cover.
    """
    side = photo.shape[0]
    count = int(labels.max()) + 1
    colours = photo.reshape(-1, 3)[rng.integers(side * side, size=count)]
    slopes = np.where(rng.random((2, count, 1)) < 0.5, 0, rng.normal(0, 0.5, (2, count, 1)))
    texture = np.where(rng.random((count, 1)) < 0.6, 0, rng.uniform(0, 1.5, (count, 1)))
    shape = np.hstack([colours, *(colours * slopes), texture, np.ones((count, 1))]).astype(np.float32)
    shape[0] = 0  # where there is none
    planes = cv2.resize(np.take(shape, labels, axis=0), (side, side), interpolation=cv2.INTER_AREA)
    flat, across, down, strength, mask = np.split(planes, (3, 6, 9, 10), axis=2)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)[:, None]
    painted = flat + across * ramp + down * ramp[:, None] + strength * detail
    return np.asarray(painted, np.float32), np.asarray(mask, np.float32)

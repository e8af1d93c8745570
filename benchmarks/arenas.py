"""Photos to compare methods on: what they train on, and pairs to measure them on. For `methods.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from nsp_cli.evaluation.metrics import to_uint8
from nsp_cli.image import Frame, from_unit, is_photo, read, to_unit, write
from nsp_cli.simulation.camera import Camera, Picture, simulate, white_noise
from nsp_cli.simulation.scene import sample_picture

Choice = TypeVar("Choice")

Noise = Callable[[Picture, np.random.Generator], tuple[Picture, Picture]]
"""A clean picture (H, W, 3) in [0, 1] to a noisy one and its clean answer."""

_SIGMA = 25 / 255
_CAMERA = Camera(shot_gain=8e-3, read_noise=1.5e-2, saturation=1.4, chroma_smoothing=0.8)
_PAINTED = 16
_PAINTED_SIDE = 384
_TEST_SIDE = 256
_LEARNT_SIDE = 384
_LEARNT = 24
_EVERY = 8


@dataclass(frozen=True)
class Arena:
    """One kind of noise.

    Attributes
    ----------
    noisy, clean : photos to learn from, for methods that want noisy ones and for those that want clean ones
    tests : folders of x_noisy and x_clean, by the names of the table's columns
    noise : what makes the noise, None where it is unknown
    """

    name: str
    noisy: Sequence[Path]
    clean: Sequence[Path]
    tests: Mapping[str, Path]
    noise: Noise | None = None


def _white(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return white_noise(clean, _SIGMA, rng), clean


def _camera(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return simulate(clean, _CAMERA, rng)


NOISES: dict[str, Noise] = {"white": _white, "camera": _camera}
"""White noise of σ = 25 of 255, and a camera's, whose noise reaches two pixels in luma and more in chroma."""


def photos_in(folder: Path) -> list[Path]:
    """All photos of a folder and its sub-folders, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and is_photo(path))


def simulated_arena(name: str, folder: Path, photos: Path | None, seed: int) -> Arena:
    """Noise of `NOISES`, added to `photos`/clean or to synthetic scenes; what is in `folder` already is kept.

    Every eighth photo is for testing, its middle of 256×256; of the others 24 are to learn from, the middle of 384×384.
    """
    noisy, clean, tests = (folder / part for part in ("noisy", "clean", "tests"))
    finished = folder / "finished"
    if not finished.exists():
        for part in (noisy, clean, tests):
            part.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(photos, seed)
        for i in range(0, len(pictures), _EVERY):
            shot, answer = NOISES[name](_middle(pictures[i], _TEST_SIDE), np.random.default_rng((seed, i)))
            _save(shot, tests / f"{i:03d}_noisy.png")
            _save(answer, tests / f"{i:03d}_clean.png")
        for i in _spread([i for i in range(len(pictures)) if i % _EVERY]):
            picture = _middle(pictures[i], _LEARNT_SIDE)
            _save(NOISES[name](picture, np.random.default_rng((seed, i)))[0], noisy / f"{i:03d}.png")
            _save(picture, clean / f"{i:03d}.png")
        finished.touch()
    return Arena(name, photos_in(noisy), photos_in(clean), {name: tests}, NOISES[name])


def real_arena(folder: Path, photos: Path) -> Arena:
    """Real noise: of `photos`/train 24 to learn from, `photos`/clean, and all pairs of the folders in `photos`/pairs.

    Of a noisy photo the middle of 384×384 is kept in `folder`, since a teacher has to see all of it; of a pair the
    middle of 256×256, since some methods take minutes for a megapixel.
    """
    noisy, tests, finished = (folder / part for part in ("noisy", "tests", "finished"))
    sets = [found for found in sorted((photos / "pairs").iterdir()) if found.is_dir()]
    if not finished.exists():
        noisy.mkdir(parents=True, exist_ok=True)
        for i, path in enumerate(_spread(photos_in(photos / "train"))):
            _save(_middle(_read(path), _LEARNT_SIDE), noisy / f"{i:03d}.png")
        for found in sets:
            (tests / found.name).mkdir(parents=True, exist_ok=True)
            for path in photos_in(found):
                _save(_middle(_read(path), _TEST_SIDE), tests / found.name / path.name)
        finished.touch()
    tests_by_name = {found.name: tests / found.name for found in sets}
    return Arena("real", photos_in(noisy), photos_in(photos / "clean"), tests_by_name)


def _spread(choices: Sequence[Choice]) -> list[Choice]:
    """24 of them, evenly spread; all where there are fewer."""
    count = min(_LEARNT, len(choices))
    return [choices[i * len(choices) // count] for i in range(count)]


def _pictures(photos: Path | None, seed: int) -> list[Picture]:
    if photos is not None:
        return [_read(path) for path in photos_in(photos / "clean")]
    rngs = [np.random.default_rng((seed, i, 1)) for i in range(_PAINTED)]
    return [sample_picture(_PAINTED_SIDE, _PAINTED_SIDE, rng) for rng in rngs]


def _read(path: Path) -> Picture:
    return to_unit(to_uint8(read(path).pixels))


def _middle(picture: Picture, length: int) -> Picture:
    y, x = (max(side - length, 0) // 2 for side in picture.shape[:2])
    return picture[y : y + length, x : x + length]


def _save(picture: Picture, path: Path) -> None:
    write(Frame(from_unit(picture, np.uint8)), path, overwrite=True)

"""Photos to compare methods on: what they learn from, and pairs that say how well they learned. For `methods.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nsp_cli.evaluation import to_uint8
from nsp_cli.image import Frame, from_unit, is_photo, read, to_unit, write
from nsp_cli.sample import sample_picture
from nsp_cli.simulation import Camera, Picture, simulate, white_noise

Noise = Callable[[Picture, np.random.Generator], tuple[Picture, Picture]]
"""A clean picture (H, W, 3) in [0, 1] to a noisy one and its clean answer."""

_SIGMA = 25 / 255
_CAMERA = Camera(shot_gain=8e-3, read_noise=1.5e-2, saturation=1.4, chroma_smoothing=0.8)
_PAINTED = 16
_PAINTED_SIDE = 384
_TEST_SIDE = 256
_EVERY = 8


@dataclass(frozen=True)
class Arena:
    """One kind of noise.

    Attributes
    ----------
    noisy, clean : photos to learn from, for methods that want noisy ones and for those that want clean ones
    tests : folders of x_noisy and x_clean, by the names of the table's columns
    noise : what makes the noise, None where nobody knows
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
    """Noise of `NOISES`, added to `photos`/clean or to painted pictures; what is in `folder` already is kept.

    Every eighth photo is for testing, its middle of 256×256, the others are to learn from.
    """
    noisy, clean, tests = (folder / part for part in ("noisy", "clean", "tests"))
    finished = folder / "finished"
    if not finished.exists():
        for part in (noisy, clean, tests):
            part.mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(_pictures(photos, seed)):
            rng = np.random.default_rng((seed, i))
            if i % _EVERY == 0:
                shot, answer = NOISES[name](_middle(picture), rng)
                _save(shot, tests / f"{i:03d}_noisy.png")
                _save(answer, tests / f"{i:03d}_clean.png")
            else:
                _save(NOISES[name](picture, rng)[0], noisy / f"{i:03d}.png")
                _save(picture, clean / f"{i:03d}.png")
        finished.touch()
    return Arena(name, photos_in(noisy), photos_in(clean), {name: tests}, NOISES[name])


def real_arena(photos: Path) -> Arena:
    """Real noise: `photos`/train, `photos`/clean, and the folders in `photos`/pairs."""
    tests = {folder.name: folder for folder in sorted((photos / "pairs").iterdir()) if folder.is_dir()}
    return Arena("real", photos_in(photos / "train"), photos_in(photos / "clean"), tests)


def _pictures(photos: Path | None, seed: int) -> list[Picture]:
    if photos is not None:
        return [to_unit(to_uint8(read(path).pixels)) for path in photos_in(photos / "clean")]
    rngs = [np.random.default_rng((seed, i, 1)) for i in range(_PAINTED)]
    return [sample_picture(_PAINTED_SIDE, _PAINTED_SIDE, rng) for rng in rngs]


def _middle(picture: Picture) -> Picture:
    y, x = (max(side - _TEST_SIDE, 0) // 2 for side in picture.shape[:2])
    return picture[y : y + _TEST_SIDE, x : x + _TEST_SIDE]


def _save(picture: Picture, path: Path) -> None:
    write(Frame(from_unit(picture, np.uint8)), path, overwrite=True)

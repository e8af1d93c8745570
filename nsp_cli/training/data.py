"""Batches of random crops of photos, decoded during the run, which depend on the seed and the step alone."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from nsp_cli.errors import InputError, NoInputError
from nsp_cli.image import read_srgb, to_unit
from nsp_cli.image.frame import Pixels
from nsp_cli.image.probe import probe_size

_POOL = 16
"""Photos that crops are taken from at one time: a step never waits for more than one new photo to be decoded."""

_REUSE = 8
"""Steps after which the oldest photo of the pool makes room for the next one."""


_PART = 2**16
"""Bytes at each end of a photo that identify it."""

_NAMED = 5
"""Number of unusable photos that are named by a warning."""

Layers = tuple[Pixels, ...]
"""The photo, (H, W, 1 or 3) in its own depth, and perhaps other pictures of the same size that go with it."""

Open = Callable[[Path], Layers]


def open_alone(path: Path) -> Layers:
    """Read a photo for training: (H, W, 1 or 3) sRGB pixels, normally in the file's depth. Raises `InputError`."""
    return (read_srgb(path),)


NOISY = "nsp-noisy"
"""Folder beside a clean photo that may hold a noisy photo of the same scene, size and file name."""


def noisy_beside(path: Path) -> Path:
    """Return where the noisy photo of a clean one would be."""
    return path.parent / NOISY / path.name


def open_with_noisy(path: Path) -> Layers:
    """Read a clean photo for training, and the noisy one in the folder `NOISY` beside it, if there is one.

    Raises
    ------
    InputError
        A photo cannot be read, or their sizes differ.
    """
    clean, beside = read_srgb(path), noisy_beside(path)
    if not beside.exists():
        return (clean,)
    noisy = read_srgb(beside)
    if noisy.shape[:2] != clean.shape[:2]:
        raise InputError(f"{beside} has another size than {path}.")
    return clean, noisy


@dataclass
class PhotoCache:
    """Decoded photos up to `limit` bytes of memory, the least recently used one leaves first."""

    limit: int
    open: Open = open_alone
    _kept: OrderedDict[Path, Layers] = field(default_factory=OrderedDict)

    @property
    def bytes(self) -> int:
        """Bytes in memory, without layers that are mapped from the disk."""
        layers = (layer for kept in self._kept.values() for layer in kept)
        return sum(layer.nbytes for layer in layers if not isinstance(layer, np.memmap))

    def get(self, path: Path) -> Layers:
        """Return a photo's layers, read or cached. Raises `InputError`."""
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        layers = self.open(path)
        self._kept[path] = layers
        while len(self._kept) > 1 and self.bytes > self.limit:
            self._kept.popitem(last=False)
        return layers


MakeExample = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
"""Makes a training example of a crop, see `methods.Method.make_example`."""


class StepBatches(Dataset[Tensor]):
    """Data set whose item k is the batch of step k, for `steps` steps.

    A batch holds examples (batch, D, p, p) float32 in [0, 1], of crops in eight orientations, or in four (flips
    alone) without `rotate`.

    Photos that cannot be read, or are smaller than a patch, are passed over with a warning. Raises `NoInputError`
    when none is left.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        patch: int,
        batch: int,
        steps: int,
        seed: int,
        cache_bytes: int,
        make_example: MakeExample = lambda crop, _: crop,
        open: Open = open_alone,
        rotate: bool = True,
    ) -> None:
        if not paths:
            raise NoInputError("There is no photo to train on.")
        self.paths, self.patch, self.batch, self.steps, self.seed = list(paths), patch, batch, steps, seed
        self.make_example, self.rotate = make_example, rotate
        self._cache = PhotoCache(cache_bytes, open)
        self._unusable: set[Path] = set()

    def __len__(self) -> int:
        """Return the number of steps, which is not that of the photos."""
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        rng = np.random.default_rng((self.seed, step))
        crops = [self._crop(self._photo(step // _REUSE + int(rng.integers(_POOL))), rng) for _ in range(self.batch)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()

    def shard(self, rank: int, world: int) -> StepBatches:
        """Return the shard of every batch for one of several processes: other crops of the same photos.

        Parts differ by one photo where the batch cannot be divided, and each has one at least. Processes count alike in
        a step, so a photo of a smaller part counts a little more.
        """
        return StepBatches(
            self.paths,
            patch=self.patch,
            batch=max(self.batch // world + (rank < self.batch % world), 1),
            steps=self.steps,
            seed=self.seed * world + rank,
            cache_bytes=self._cache.limit,
            make_example=self.make_example,
            open=self._cache.open,
            rotate=self.rotate,
        )

    def _photo(self, position: int) -> Layers:
        """Return the photo at a position of the endless shuffled list, or the next usable one."""
        for ahead in range(2 * len(self.paths)):
            epoch, index = divmod(position + ahead, len(self.paths))
            path = self.paths[np.random.default_rng((self.seed, epoch, 1)).permutation(len(self.paths))[index]]
            if path in self._unusable:
                continue
            try:
                layers = self._cache.get(path)
            except InputError as error:
                self._pass_over(path, str(error))
                continue
            if min(layers[0].shape[:2]) >= self.patch:
                return layers
            self._pass_over(path, f"{path} is smaller than a patch of {self.patch} pixels.")
        raise NoInputError(f"None of the {len(self.paths)} photos can be used for training; try a smaller `patch`.")

    def _pass_over(self, path: Path, why: str) -> None:
        self._unusable.add(path)
        if len(self._unusable) <= _NAMED:
            warnings.warn(why, stacklevel=2)
        elif len(self._unusable) == _NAMED + 1:
            warnings.warn(f"{why} Further photos that cannot be used are not named.", stacklevel=2)

    def _crop(self, layers: Layers, rng: np.random.Generator) -> NDArray[np.float32]:
        side = self.patch
        y, x = (int(rng.integers(whole - side + 1)) for whole in layers[0].shape[:2])
        units = (to_unit(layer[y : y + side, x : x + side]) for layer in layers)
        crop = np.concatenate([np.broadcast_to(unit, (side, side, 3)) for unit in units], 2)  # grey photos train as RGB
        turns = int(rng.integers(4))
        crop = np.rot90(crop, turns if self.rotate else turns // 2 * 2)
        return np.ascontiguousarray(self.make_example(crop[:, ::-1] if rng.integers(2) else crop, rng))


def contents(photos: Sequence[Path]) -> str:
    """Return a hash of photos by their names, sizes and first and last 64 KiB, wherever their folder is now.

    The noisy photos of clean ones, see `open_with_noisy`, are part of it.
    """
    together = hashlib.sha256()
    beside = [noisy for photo in photos if (noisy := noisy_beside(photo)).exists()]
    for path in (*photos, *beside):
        together.update(path.name.encode("utf-8", "surrogateescape") + b"\n")
        with suppress(OSError), path.open("rb") as file:  # one that cannot be read is passed over later
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            together.update(str(size).encode() + file.read(_PART))
            file.seek(max(size - _PART, 0))
            together.update(file.read(_PART))
    return together.hexdigest()


def large_enough(paths: Sequence[Path], patch: int) -> list[Path]:
    """Return the photos that are no smaller than a patch, by their headers; those left out are named in one warning.

    A photo whose header does not give its size stays. Raises `NoInputError` where none is left.
    """
    small = {path for path in paths if (size := probe_size(path)) is not None and min(size) < patch}
    if small and len(small) == len(paths):
        raise NoInputError(
            f"All {len(paths)} photos are smaller than a patch of {patch} pixels; use a smaller `patch`."
        )
    if small:
        names = ", ".join(str(path) for path in sorted(small)[:_NAMED])
        rest = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
        are = "photo is" if len(small) == 1 else "photos are"
        warnings.warn(
            f"{len(small)} {are} smaller than a patch of {patch} pixels, left out: {names}{rest}.", stacklevel=2
        )
    return [path for path in paths if path not in small]


def train_val_split(paths: Sequence[Path], every: int = 10) -> tuple[list[Path], list[Path]]:
    """Split photos into those to train on and those for validation: every n-th one, none of fewer than four photos.

    Parameters
    ----------
    paths : sequence of Path
        All photos.
    every : int
        Every n-th photo is for validation; 0 trains on all of them.
    """
    if len(paths) < 4 or every == 0:
        return list(paths), []
    validation = set(paths[::every])
    return [path for path in paths if path not in validation], [path for path in paths if path in validation]

"""Training examples that many processes make in advance, in memory that they share with the ones that train."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsp_cli.methods.simulated import Simulated

_PLANES = 6  # noisy and clean; the noise level is one number
_READY = 64  # examples that every process has made before the first batch
_AHEAD = 3  # batches


class ExamplePool:
    """A ring of examples of `Simulated`, written by `processes` and read by any number of others.

    Make it before CUDA is initialized, and start the readers by fork: the memory is shared with children alone.

    Parameters
    ----------
    photos
        Clean photos, (H, W, 3) uint8 sRGB, no side smaller than two `side`s.
    method
        What makes an example of a crop.
    side
        Side of an example in pixels.
    capacity
        Examples in memory, 12 · side² bytes each; the oldest are replaced.
    processes
        Processes that make them.
    """

    def __init__(
        self, photos: Sequence[NDArray[np.uint8]], method: Simulated, side: int, capacity: int, processes: int
    ) -> None:
        self._photos, self._method, self._side = photos, method, side
        self._each = max(capacity // processes, _READY)
        count = processes * self._each
        pixels = np.frombuffer(mmap.mmap(-1, 2 * count * _PLANES * side * side), np.float16)
        self._pixels = pixels.reshape(count, _PLANES, side, side)
        self._levels = np.frombuffer(mmap.mmap(-1, 4 * count), np.float32)
        self._made = np.frombuffer(mmap.mmap(-1, 8 * processes), np.int64)
        fork = multiprocessing.get_context("fork")
        self._processes = [fork.Process(target=self._fill, args=(i,), daemon=True) for i in range(processes)]

    @property
    def made(self) -> int:
        """Examples made since the start."""
        return int(self._made.sum())

    def start(self) -> None:
        """Start the processes."""
        for process in self._processes:
            process.start()

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
            process.join()

    def _fill(self, index: int) -> None:
        os.nice(10)  # training comes first
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        rng = np.random.default_rng((0, index))
        # Photos of one folder are alike, and so each photo counts by the square root of its size, not by its size.
        shares = np.sqrt([photo.shape[0] * photo.shape[1] for photo in self._photos])
        shares /= shares.sum()
        while True:
            example = self._method.make_example(self._crop(self._photos[rng.choice(len(shares), p=shares)], rng), rng)
            slot = index * self._each + int(self._made[index]) % self._each
            self._pixels[slot] = example[..., :_PLANES].transpose(2, 0, 1)
            self._levels[slot] = example[0, 0, -1]
            self._made[index] += 1

    def _crop(self, photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
        side = 2 * self._side
        y, x = (int(rng.integers(whole - side + 1)) for whole in photo.shape[:2])
        crop = np.rot90(photo[y : y + side, x : x + side], int(rng.integers(4)))
        crop = crop[:, ::-1] if rng.integers(2) else crop
        return np.ascontiguousarray(crop).astype(np.float32) / np.float32(255)

    def batches(self, size: int, device: torch.device, seed: int) -> Iterator[Tensor]:
        """Yield batches (size, 7, side, side) on the device for ever, drawn at random and turned or flipped."""
        ready: queue.Queue[tuple[Tensor, Tensor]] = queue.Queue(_AHEAD)
        threading.Thread(target=self._draw, args=(size, device, seed, ready), daemon=True).start()
        turns = np.random.default_rng((seed, 1))
        while True:
            pixels, levels = (part.to(device, non_blocking=True) for part in ready.get())
            pixels = pixels.float()
            turn = int(turns.integers(8))
            pixels = torch.rot90(pixels, turn % 4, (2, 3))
            pixels = pixels.flip(3) if turn >= 4 else pixels
            yield torch.cat([pixels, levels[:, None, None, None].expand(-1, 1, *pixels.shape[2:])], 1)

    def _draw(self, size: int, device: torch.device, seed: int, ready: queue.Queue[tuple[Tensor, Tensor]]) -> None:
        rng = np.random.default_rng((seed, 0))
        pixels, levels = torch.from_numpy(self._pixels), torch.from_numpy(self._levels)
        pinned = device.type == "cuda"
        while True:
            while int(self._made.min()) < _READY:
                threading.Event().wait(0.1)
            makers = rng.integers(len(self._made), size=size)
            within = rng.integers(np.minimum(self._made[makers], self._each))
            chosen = torch.from_numpy(makers * self._each + within)
            part = pixels.index_select(0, chosen), levels.index_select(0, chosen)
            ready.put((part[0].pin_memory(), part[1].pin_memory()) if pinned else part)


def read_photos(folder: Path, smallest: int) -> list[NDArray[np.uint8]]:
    """Read the photos of a folder as sRGB uint8; those with a side below `smallest` are left out."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png", ".webp"})
    with ThreadPool() as threads:
        photos = threads.map(_read, paths)
    return [photo for photo in photos if min(photo.shape[:2]) >= smallest]


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))

"""A pool of training examples on the disk, with another model's results as targets; each is drawn several times."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from nsp_cli.methods.base import PlainPipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.methods.simulated import Example, example_loss
from nsp_cli.model.spec import Task
from nsp_cli.networks.layers import halve
from nsp_cli.ops.orientations import ORIENTATIONS, orient
from nsp_cli.system.atomic import write_atomically
from nsp_cli.training.data import StepBatches

_PLANES = (3, 3, 3, 1)  # noisy, result, clean, noise level
_LARGEST_CHANGE = 10 ** (-38 / 20)  # RMS, white = 1: above it, the teacher blurs a clean photo
_CLEAN_WEIGHT = 0.2  # in the loss, of the distance from the clean crops


class ResultPool(Dataset[Tensor]):
    """Batches of examples (N, 3 + 3 + 3 + 1, p, p) of a pool: noisy, its result, clean, and the noise level.

    Parameters
    ----------
    files : sequence of Path
        The pool, an array of examples in each file.
    batch, seed : int
        Examples of a batch, and the number that the order depends on.
    """

    def __init__(self, files: Sequence[Path], batch: int, seed: int) -> None:
        self.files, self.batch, self.seed = files, batch, seed

    def __getitem__(self, step: int) -> Tensor:
        """Draw the batch of a step, each example in one of eight orientations."""
        rng = np.random.default_rng([self.seed, step])
        drawn: list[Tensor] = []
        for _ in range(self.batch):
            examples = np.load(self.files[int(rng.integers(len(self.files)))], mmap_mode="r")
            one = torch.from_numpy(examples[rng.integers(len(examples))].astype(np.float32))
            drawn.append(orient(one[None], int(rng.integers(ORIENTATIONS))))
        return torch.cat(drawn)


def make_pool(folder: Path, teacher: nn.Module, sources: Sequence[StepBatches], count: int) -> list[Path]:
    """Write the missing files of a pool, each with a batch of one of the sources in turn; return those with examples.

    The targets are the results of `teacher`, a network with the noise level as an input, with the coarse chroma.
    Examples without noise that it changes by more than `_LARGEST_CHANGE` are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = CoarseChroma(PlainPipeline(teacher.eval(), Task.DENOISE, 3))
    files = [folder / f"{step:05d}.npy" for step in range(count)]
    for step, file in enumerate(files):
        if file.exists():
            continue
        batch = sources[step % len(sources)][step]
        with torch.no_grad():
            result = pipeline.on_padded(torch.cat([batch[:, :3], batch[:, -1:]], 1))
        noisy, clean = batch[:, :3], batch[:, 3:6]
        noise, change = (difference.square().mean((1, 2, 3)).sqrt() for difference in (noisy - clean, result - clean))
        kept = (noise > 0) | (change < _LARGEST_CHANGE)
        content = torch.cat([noisy, result, clean, batch[:, -1:]], 1)[kept]
        write_atomically(_as_npy(content.half().numpy()), file, overwrite=True)
    return [file for file in files if len(np.load(file, mmap_mode="r"))]


def pool_loss(network: nn.Module, batch: Tensor) -> Tensor:
    """Return the loss of a batch of a pool: that of `Simulated` for the results, and a part of that for clean crops."""
    noisy, result, clean, level = batch.split(_PLANES, 1)
    output = network(torch.cat([noisy, level], 1).contiguous(memory_format=torch.channels_last))
    to_result, to_clean = (example_loss(output, Example(noisy, target, level)) for target in (result, clean))
    return to_result + _CLEAN_WEIGHT * to_clean


def halved_examples(batch: Tensor) -> Tensor:
    """Reduce a batch of a pool to half its size, with the noise level that the photo has there."""
    noisy, result, clean, level = batch.split(_PLANES, 1)
    small = halve(torch.cat([noisy, level], 1), 3)
    return torch.cat([small[:, :3], F.avg_pool2d(result, 2), F.avg_pool2d(clean, 2), small[:, 3:]], 1)


def _as_npy(array: np.ndarray) -> bytes:
    target = BytesIO()
    np.save(target, array)
    return target.getvalue()

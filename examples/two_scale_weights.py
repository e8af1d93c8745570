"""Train a network for two scales to give the results of a ResUNet that is trained.

    python examples/two_scale_weights.py WEIGHTS CLEAN_FOLDER OUT [--batches 840] [--steps 3600]

WEIGHTS are of the method `simulated`. First a pool of examples is made: crops of clean photos with simulated camera
noise, and what WEIGHTS make of them, with the coarse chroma. Then the network learns to give these results, and for a
part of the loss the clean crops. Its U-Net begins with WEIGHTS, with fewer hidden channels, which `thin_weights.py`
chooses. An example is drawn several times, mirrored or turned, which costs less than new ones. A run that was stopped
continues when the same line is given again. OUT gets the pool, the state, and `two-scale.safetensors` in the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from distillation import Distillation, examples_of
from thin_weights import thin
from torch import Tensor, nn
from torch.utils.data import Dataset

from nsp_cli.engine.backends.device import choose_device
from nsp_cli.engine.loading import method_of
from nsp_cli.methods.base import PlainPipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from nsp_cli.networks.layers import halve
from nsp_cli.networks.twoscale import TwoScale
from nsp_cli.ops.orientations import ORIENTATIONS, orient
from nsp_cli.system.atomic import write_atomically
from nsp_cli.training.data import StepBatches
from nsp_cli.training.optimizers import Muon

_CLEAN_WEIGHT = 0.2  # in the loss, of the distance from the clean crops
_THINNED_ON = 12  # files of the pool, for the choice of hidden channels


class Pool(Dataset[Tensor]):
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
        """Draw the batch of a step."""
        rng = np.random.default_rng([self.seed, step])
        drawn: list[Tensor] = []
        for _ in range(self.batch):
            examples = np.load(self.files[int(rng.integers(len(self.files)))], mmap_mode="r")
            one = torch.from_numpy(examples[rng.integers(len(examples))].astype(np.float32))
            drawn.append(orient(one[None], int(rng.integers(ORIENTATIONS))))
        return torch.cat(drawn)


class TwoScaleRun(Distillation):
    """The results of the teacher are those of the pool."""

    def loss(self, batch: Tensor) -> Tensor:
        """Return the loss of a batch of the pool."""
        noisy, result, clean, level = batch.split([3, 3, 3, 1], 1)
        losses = [
            self.method.loss(self.network, torch.cat([noisy, target, level], 1), torch.Generator())
            for target in (result, clean)
        ]
        return losses[0] + _CLEAN_WEIGHT * losses[1]


def make_pool(folder: Path, teacher: nn.Module, examples: StepBatches, count: int) -> list[Path]:
    """Write the files of the pool that are missing, and return all."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = CoarseChroma(PlainPipeline(teacher.eval(), Task.DENOISE, 3))
    files = [folder / f"{step:05d}.npy" for step in range(count)]
    for step, file in enumerate(files):
        if file.exists():
            continue
        batch = examples[step]
        with torch.no_grad():
            result = pipeline.on_padded(torch.cat([batch[:, :3], batch[:, -1:]], 1))
        content = torch.cat([batch[:, :3], result, batch[:, 3:6], batch[:, -1:]], 1).half().numpy()
        write_atomically(_as_npy(content), file, overwrite=True)
    return files


def _as_npy(array: np.ndarray) -> bytes:
    from io import BytesIO

    target = BytesIO()
    np.save(target, array)
    return target.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path, metavar="CLEAN_FOLDER")
    parser.add_argument("out", type=Path)
    parser.add_argument("--hidden", default="32,48,64", help="hidden channels of the U-Net's levels (32,48,64)")
    parser.add_argument("--batches", type=int, default=840, help="of the pool (840)")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--lr", type=float, default=1.4e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=320, help="pixels of a crop; an example has half of them (320)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="stop there; the same line without it continues")
    arguments = parser.parse_args()
    teacher, spec = load_model(arguments.weights)
    method = cast(Simulated, method_of(spec, {"ensemble": 1, "coarse_chroma": False}, arguments.weights.name))
    shape = {"patch": arguments.patch, "batch": arguments.batch, "seed": arguments.seed}
    examples = examples_of(arguments.photos, method, **shape, steps=arguments.batches)
    files = make_pool(arguments.out / "pool", teacher, examples, arguments.batches)
    torch.manual_seed(arguments.seed)
    hidden = [int(channels) for channels in arguments.hidden.split(",")]
    network_args = {**spec.network_args, "hidden": hidden}
    spec = replace(spec, network="twoscale", network_args=network_args, method_args={}, halo=0)
    network = build_network(spec.network, spec.network_args)
    assert isinstance(network, TwoScale)
    run = TwoScaleRun(
        teacher,
        network.to(choose_device(arguments.device)),
        method,
        Muon(network.parameters(), lr=arguments.lr, weight_decay=0.0),
        cast(StepBatches, Pool(files, arguments.batch, arguments.seed)),
        arguments.out / "two-scale.state",
        steps=arguments.steps,
        rate=arguments.lr,
    )
    if run.resume():
        print(f"continued at step {run.step}")
    else:
        noisy = [torch.from_numpy(np.load(file).astype(np.float32)) for file in files[:: -(-len(files) // _THINNED_ON)]]
        halves = [halve(torch.cat([batch[:, :3], batch[:, -1:]], 1), 3) for batch in noisy]
        for block in thin(teacher, network.coarse, halves):
            print(block, flush=True)
    run.train(arguments.stop_at)
    if run.step < arguments.steps:
        return
    kept = {key: getattr(arguments, key) for key in ("batches", "steps", "lr", "batch", "patch")}
    save_model(
        network, replace(spec, training={**spec.training, "two_scales": kept}), arguments.out / "two-scale.safetensors"
    )


if __name__ == "__main__":
    main()

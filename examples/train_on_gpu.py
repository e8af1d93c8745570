"""Train the models that ship in minutes on one large GPU, several networks at a time.

    python examples/train_on_gpu.py PHOTOS OUT --minutes 9 [--device cuda] [--fast weights/fast.safetensors]

PHOTOS has the folders clean and noisy. Simulated noise is made by all cores but two, in advance and for all networks.
Two processes train at the same time: one the network `best`; the other NSP on the noisy photos alone, its student by
recharged distillation, `fast`, and `fast` with simulated int8 rounding. Each has its share of the minutes, and a cosine
schedule that ends with it. OUT gets the weights, also halfway, and a log.
"""

from __future__ import annotations

import argparse
import copy
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from example_pool import ExamplePool, read_photos
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from nsp_cli.engine.backends.device import Precision, autocast, choose_precision
from nsp_cli.engine.export.int8 import calibrating, quantize
from nsp_cli.methods.nsp import CANONICAL, NSP
from nsp_cli.methods.rd import RD
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_model, save_model, save_tensors
from nsp_cli.model.spec import ModelSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.training.optimizers import OPTIMIZERS
from nsp_cli.training.state import ema_of

_LARGE = {"widths": (80, 128, 192), "depths": (3, 3, 4), "noise_level": True}
_WARM_UP = 200  # steps
_TURNS = 8

Loss = Callable[[nn.Module, Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """What a network learns, and for how many seconds."""

    name: str
    seconds: float
    batch: int
    lr: float
    optimizer: str = "muon"
    ema: float = 0.999
    compile: bool = False


class Trainer:
    """Trains networks on one device, one after the other.

    Parameters
    ----------
    out
        The folder for weights and the log.
    device
        Where to train.
    """

    def __init__(self, out: Path, device: torch.device) -> None:
        self.out, self.device = out, device

    def log(self, text: str) -> None:
        """Print a line, and append it to the log."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        print(line, flush=True)
        with (self.out / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def train(
        self, recipe: Recipe, network: nn.Module, spec: ModelSpec | None, loss: Loss, batches: Iterator[Tensor]
    ) -> None:
        """Train a network in place; it has the moving average of its weights at the end, and OUT has its file.

        Raises
        ------
        ArithmeticError
            The loss is no longer a number.
        """
        network.to(device=self.device, memory_format=torch.channels_last).train()  # pyright: ignore
        learner: Any = torch.compile(network) if recipe.compile else network
        precision = choose_precision(self.device, Precision.AUTO)  # initializes CUDA, so not before the fork
        optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), lr=recipe.lr, weight_decay=1e-4)
        average = ema_of(network, recipe.ema)
        generator = Generator(self.device).manual_seed(0)
        started, step, total, halfway = time.monotonic(), 0, torch.zeros((), device=self.device), False
        for batch in batches:
            passed = (time.monotonic() - started) / recipe.seconds
            if passed >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * min(1, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * passed))
            with autocast(self.device, precision):
                value = loss(learner, batch, generator)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(network)
            total += value.detach()
            step += 1
            if step % 200 == 0:  # the GPU is never more than so many steps behind
                mean, total = float(total) / 200, torch.zeros_like(total)
                if not math.isfinite(mean):
                    raise ArithmeticError(f"{recipe.name} diverged at step {step}.")
                rate = step / (time.monotonic() - started)
                self.log(f"{recipe.name}: step {step}, {passed:.0%}, loss {mean:.5f}, {rate:.1f} steps/s")
                if passed > 0.5 and not halfway and spec is not None:
                    halfway = True
                    save_model(average.module, spec, self.out / f"{recipe.name}-half.safetensors", torch.float16)
        network.load_state_dict(average.module.state_dict())
        if spec is not None:
            training = {"steps": step, "batch": recipe.batch, "lr": recipe.lr, "optimizer": recipe.optimizer}
            training |= {"device": _name_of(self.device), "minutes": round(recipe.seconds / 60, 1)}
            save_model(network, replace(spec, training=training), self.out / f"{recipe.name}.safetensors")
        self.log(f"{recipe.name}: {step} steps in {time.monotonic() - started:.0f} s")


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def noisy_batches(photos: Sequence[Tensor], size: int, side: int, seed: int) -> Iterator[Tensor]:
    """Yield random crops (size, C, side, side) float32 of photos (C, H, W) on the GPU, all in one orientation.

    Layers of uint8 are 0 to 255, others 0 to 1.
    """
    rng = np.random.default_rng(seed)
    while True:
        crops: list[Tensor] = []
        for index in rng.integers(len(photos), size=size):
            y, x = (int(rng.integers(whole - side + 1)) for whole in photos[index].shape[1:])
            crops.append(photos[index][:, y : y + side, x : x + side])
        batch = torch.stack(crops)
        batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
        turn = int(rng.integers(8))
        batch = torch.rot90(batch, turn % 4, (2, 3))
        yield batch.flip(3) if turn >= 4 else batch


def train_nsp(trainer: Trainer, recipe: Recipe, student: Recipe, photos: Sequence[NDArray[np.uint8]]) -> None:
    """NSP on canonical pairs, then RD into a plain network: the targets are the t² predictions, mean of eight turns."""
    noisy = [torch.from_numpy(photo.copy()).permute(2, 0, 1).to(trainer.device) for photo in photos]
    method = NSP(strategy=CANONICAL, inputs=2, canonical_strides=(3, 4))
    args = {"width": 96, "depth": 6, "residual": True, "scale": method.scale}
    settings = {"strategy": CANONICAL, "inputs": 2, "canonical_strides": (3, 4)}
    spec = ModelSpec(network="dbsn", network_args=args, method="nsp", method_args=settings)
    torch.manual_seed(0)
    network = build_network("dbsn", args)
    trainer.train(
        recipe,
        network,
        spec,
        method.loss,
        noisy_batches([p for p in noisy if min(p.shape[1:]) >= 240], recipe.batch, 240, 0),
    )
    layers = [torch.cat([photo / 255, targets(network.eval(), method, photo / 255)]).half() for photo in noisy]
    trainer.log("targets of the student are made")
    torch.manual_seed(0)
    small = build_network("resunet", {})
    made = ModelSpec(network="resunet", network_args={}, method="rd", method_args={})
    trainer.train(student, small, made, RD().loss, noisy_batches(layers, student.batch, 160, 1))


@torch.no_grad()
def targets(network: nn.Module, method: NSP, photo: Tensor) -> Tensor:
    """(C, H, W) in [0, 1] → (t²·C, H, W): each phase's prediction, the mean over the photo's eight orientations."""
    phases: list[Tensor] = []
    for settings in method.inference_variants:
        pipeline = replace(method, **settings).pipeline(network, Task.DENOISE)
        total = torch.zeros_like(photo)
        for turn in range(_TURNS):
            turned = torch.rot90(photo, turn % 4, (1, 2))
            turned = turned.flip(2) if turn >= 4 else turned
            output = pipeline(turned[None])[0].float()
            output = output.flip(2) if turn >= 4 else output
            total += torch.rot90(output, -(turn % 4), (1, 2))
        phases.append(total / _TURNS)
    return torch.cat(phases).clamp(0, 1)


def train_fast(trainer: Trainer, recipe: Recipe, rounded: Recipe, start: Path, pool: ExamplePool) -> None:
    """Train `fast` on, then its int8 twin with the float network's outputs as targets."""
    network, spec = load_model(start)
    method, batches = Simulated(), pool.batches(recipe.batch, trainer.device, 2)
    trainer.train(recipe, network, spec, method.loss, batches)
    teacher = copy.deepcopy(network).eval()
    quantized = copy.deepcopy(network)
    convolutions = quantize(quantized)

    def loss(learner: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        seen = torch.cat([batch[:, :3], batch[:, -1:]], 1).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            target = teacher(seen).float()
        return method.loss(learner, torch.cat([batch[:, :3], target, batch[:, -1:]], 1), generator)

    quantized.cpu()
    with torch.no_grad(), calibrating(convolutions):  # on the CPU, where the ranges are computed
        for batch in islice(pool.batches(8, torch.device("cpu"), 3), 24):
            quantized(torch.cat([batch[:, :3], batch[:, -1:]], 1))
    trainer.train(rounded, quantized, None, loss, pool.batches(rounded.batch, trainer.device, 4))
    state = {f"network.{name}": tensor.cpu().clone() for name, tensor in quantized.state_dict().items()}
    save_tensors(state, {"step": "0"}, trainer.out / f"{recipe.name}-int8.state")


def train_best(trainer: Trainer, recipe: Recipe, start: Path, pool: ExamplePool) -> None:
    """Train the large network, from the weights of `fast`, whose output it has at first."""
    torch.manual_seed(0)
    network: Any = build_network("resunet", _LARGE)
    network.load_state_dict(network.adopt(load_model(start)[0].state_dict()))
    spec = ModelSpec(network="resunet", network_args=_LARGE, method="simulated", method_args={})
    trainer.train(recipe, network, spec, Simulated().loss, pool.batches(recipe.batch, trainer.device, 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--fast", type=Path, default=Path(__file__).parents[1] / "weights/fast.safetensors")
    parser.add_argument("--side", type=int, default=160, help="of an example, in pixels")
    parser.add_argument("--capacity", type=int, default=150_000, help="examples in memory")
    parser.add_argument("--batch", type=int, default=40, help="of the large network; the others have more")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    trainer, unit = Trainer(args.out, args.device), 60 * args.minutes
    clean = read_photos(args.photos / "clean", 2 * args.side)
    noisy = read_photos(args.photos / "noisy", 160)
    pool = ExamplePool(clean, Simulated(), args.side, args.capacity, max((os.cpu_count() or 1) - 2, 1))
    pool.start()
    trainer.log(f"{len(clean)} clean and {len(noisy)} noisy photos, {os.cpu_count()} cores")
    b = args.batch

    def small() -> None:
        nsp, student = Recipe("nsp", 0.30 * unit, 2 * b, 1e-3, "adamw"), Recipe("nsp-student", 0.22 * unit, b, 2e-3)
        train_nsp(trainer, nsp, student, noisy)
        fast = Recipe("fast", 0.28 * unit, 2 * b, 1.5e-3, compile=args.compile)
        train_fast(trainer, fast, Recipe("fast-int8", 0.08 * unit, b, 2e-4, "adam"), args.fast, pool)

    def large() -> None:
        recipe = Recipe("best", 0.96 * unit, b, 1.5e-3, compile=args.compile)
        train_best(trainer, recipe, args.fast, pool)

    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=run) for run in (large, small)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    trainer.log(f"{pool.made} examples were made")
    pool.stop()
    if any(run.exitcode for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

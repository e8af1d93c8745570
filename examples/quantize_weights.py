"""Train an int8 network from float weights, with simulated rounding, and write it as an ONNX graph.

    python examples/quantize_weights.py WEIGHTS CLEAN_FOLDER OUT [--steps 2000]

WEIGHTS are of a ResUNet that the method `simulated` trained. Clean photos get simulated camera noise as in that
training. The loss is the method's own, with the output of the float network as the target: the int8 network learns to
agree with it. A run that was stopped continues when the same line is given again. OUT gets the state of the run. With
--ship NAME the graph is then written to weights/, for the model of this name.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.engine.backends.device import Precision, autocast, choose_precision
from nsp_cli.engine.export.int8 import calibrating, quantize
from nsp_cli.engine.export.onnx_file import export_int8
from nsp_cli.engine.loading import method_of
from nsp_cli.image import is_photo
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, load_tensors, save_tensors
from nsp_cli.model.spec import Task
from nsp_cli.training.data import StepBatches

_CALIBRATION = 24  # batches
_SAVE_EVERY = 100  # steps
_WARM_UP = 50  # steps
_SCALE_RATE = 10.0  # learning rate of the logarithm of a scale, as a multiple of that of weights
_CPU = torch.device("cpu")


class Run:
    """A run of fine-tuning that can be saved and continued."""

    def __init__(self, weights: Path, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.teacher, self.spec = load_model(weights)
        self.teacher.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.method = cast(Simulated, method_of(self.spec, {"ensemble": 1}, weights.name))
        self.network = copy.deepcopy(self.teacher)
        self.convolutions = quantize(self.network)
        self.precision = choose_precision(_CPU, Precision.AUTO)
        self.steps, self.rate = arguments.steps, arguments.lr
        scales = [p for name, p in self.network.named_parameters() if name.endswith("log_scale")]
        others = [p for name, p in self.network.named_parameters() if not name.endswith("log_scale")]
        self.optimizer = torch.optim.Adam(
            [{"params": others, "factor": 1.0}, {"params": scales, "factor": _SCALE_RATE}]
        )
        self.photos = StepBatches(
            sorted(path for path in arguments.photos.rglob("*") if path.is_file() and is_photo(path)),
            patch=arguments.patch * self.method.scale,
            batch=arguments.batch,
            steps=self.steps,
            seed=arguments.seed,
            cache_bytes=2 * 10**9,
            make_example=self.method.make_example,
        )
        self.state = arguments.out / f"{weights.stem}-int8.state"
        self.step = 0

    def calibrate(self) -> None:
        """Take the ranges of activations from examples, in float32."""
        with torch.no_grad(), calibrating(self.convolutions):
            for step in range(_CALIBRATION):
                self._loss(self.photos[step])

    def train(self) -> None:
        """Take the steps that are left, and save the state regularly."""
        started, begun = time.monotonic(), self.step
        mean = 0.0
        while self.step < self.steps:
            fall = 0.5 * (1 + math.cos(math.pi * self.step / self.steps)) * min(1.0, (self.step + 1) / _WARM_UP)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * fall * group["factor"]
            with autocast(_CPU, self.precision):
                loss = self._loss(self.photos[self.step])
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.step += 1
            mean += (float(loss.detach()) - mean) / min(self.step - begun, _SAVE_EVERY)
            if self.step % _SAVE_EVERY == 0 or self.step == self.steps:
                self.save()
                rate = (self.step - begun) / (time.monotonic() - started)
                print(f"step {self.step} of {self.steps}, loss {mean:.5f}, {rate:.2f} steps/s", flush=True)

    def _loss(self, batch: Tensor) -> Tensor:
        noisy, level = batch[:, :3], batch[:, -1:]
        with torch.no_grad():
            seen = torch.cat([noisy, level], 1).contiguous(memory_format=torch.channels_last)
            target = F.pixel_unshuffle(self.teacher(seen), self.method.scale)
        return self.method.loss(self.network, torch.cat([noisy, target, level], 1), torch.Generator())

    def save(self) -> None:
        """Write the state over the last one."""
        tensors = {f"network.{name}": tensor.clone() for name, tensor in self.network.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        save_tensors(tensors, {"step": str(self.step)}, self.state)

    def start_from(self, state: Path) -> Mapping[str, Tensor]:
        """Take the network of a saved run, and return all that was saved."""
        tensors, _ = load_tensors(state)
        prefix = "network."
        own = self.network.state_dict()
        self.network.load_state_dict({name: tensors[prefix + name] for name in own})
        return tensors

    def resume(self) -> bool:
        """Continue this run if it was saved, and return whether it was."""
        if not self.state.is_file():
            return False
        tensors = self.start_from(self.state)
        self.step = int(load_tensors(self.state)[1]["step"])
        state = self.optimizer.state_dict()
        for key, tensor in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                state["state"].setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict(state)
        return True

    def ship(self, name: str) -> None:
        """Write the graph of each task to weights/, and name it in the manifest."""
        info = next(info for info in registry.shipped() if info.name == name)
        _, spec = load_model(info.path)
        recipe = {key: getattr(self.arguments, key) for key in ("steps", "lr", "batch", "patch")}
        spec = replace(spec, training={**spec.training, "int8": recipe})
        graphs = {task: f"{name}-{task}-int8.onnx" for task in info.graphs}
        for task, file in graphs.items():
            target = info.path.with_name(file)
            error = export_int8(self.network, spec, Task(task), target, whole=False, overwrite=True)
            print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, differs from torch by {error:.1e} (RMS)")
        manifest = info.path.with_name("manifest.json")
        content = json.loads(manifest.read_text(encoding="utf-8"))
        next(entry for entry in content["models"] if entry["name"] == name)["int8"] = graphs
        manifest.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path, metavar="CLEAN_FOLDER")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=224, help="pixels of a crop; an example has half of them (224)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="start", type=Path, help="the state of an earlier run to begin with")
    parser.add_argument("--ship", metavar="NAME", help="the model in weights/ that gets the graph")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.weights, arguments)
    if run.resume():
        print(f"continued at step {run.step}")
    elif arguments.start:
        run.start_from(arguments.start)
    else:
        run.calibrate()
    run.train()
    if arguments.ship:
        run.ship(arguments.ship)


if __name__ == "__main__":
    main()

"""Train an int8 network from float weights, with simulated rounding, and write it as an ONNX graph.

    python examples/quantize_weights.py WEIGHTS CLEAN_FOLDER OUT [--steps 2000]

WEIGHTS are of a ResUNet or a TwoScale that the method `simulated` trained. Clean photos get simulated camera noise as
in that training. The loss is the method's own, with the output of the float network as the target: the int8 network
learns to agree with it. With --pool, examples and targets are those of a pool that `two_scale_weights.py` made. A run
that was stopped continues when the same line is given again. OUT gets the state of the run, and in the end the weights
that the graph has, without their rounding: after a long run they are better than WEIGHTS. With --ship NAME the graph is
then written to weights/, for the model of this name.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from distillation import Distillation, examples_of
from result_pool import ResultPool, pool_loss
from torch import Tensor
from torch.utils.data import Dataset

from nsp_cli.engine.export.int8 import calibrating, quantize, without_rounding
from nsp_cli.engine.export.onnx_file import export_int8
from nsp_cli.engine.loading import method_of
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import Task
from nsp_cli.training.optimizers import Muon

_CALIBRATION = 24  # batches
_SCALE_RATE = 10.0  # learning rate of the logarithm of a scale, as a multiple of that of weights


class Run(Distillation):
    """The float network is the teacher, and the network with simulated rounding learns to agree with it."""

    def __init__(self, weights: Path, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        teacher, self.spec = load_model(weights)
        network = copy.deepcopy(teacher)
        self.convolutions = quantize(network)
        scales = [p for name, p in network.named_parameters() if name.endswith("log_scale")]
        others = [p for name, p in network.named_parameters() if not name.endswith("log_scale")]
        method = cast(Simulated, method_of(self.spec, {"ensemble": 1, "coarse_chroma": False}, weights.name))
        super().__init__(
            teacher,
            network,
            method,
            Muon(network.parameters(), lr=arguments.lr, weight_decay=0.0)
            if arguments.muon
            else torch.optim.Adam([{"params": others, "factor": 1.0}, {"params": scales, "factor": _SCALE_RATE}]),
            self._examples(method),
            arguments.out / f"{weights.stem}-int8.state",
            steps=arguments.steps,
            rate=arguments.lr,
        )

    def _examples(self, method: Simulated) -> Dataset[Tensor]:
        """Prepare the examples of each step."""
        given = self.arguments
        if given.pool:
            return ResultPool(sorted(given.pool.glob("*.npy")), given.batch, given.seed)
        return examples_of(
            given.photos, method, patch=given.patch, batch=given.batch, steps=given.steps, seed=given.seed
        )

    def loss(self, batch: Tensor) -> Tensor:
        """Return the loss of a batch of examples, or of the pool."""
        return pool_loss(self.network, batch) if self.arguments.pool else super().loss(batch)

    def calibrate(self) -> None:
        """Take the ranges of activations from examples, in float32."""
        with torch.no_grad(), calibrating(self.convolutions):
            for step in range(_CALIBRATION):
                self.loss(self.examples[step])

    def ship(self, name: str) -> None:
        """Write the graph of each task to weights/, and name it in the manifest."""
        info = next(info for info in registry.shipped() if info.name == name)
        _, spec = load_model(info.path)
        given = self.arguments
        recipe = {key: getattr(given, key) for key in ("steps", "lr", "batch")}
        recipe |= {"pool": True} if given.pool else {"patch": given.patch}
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
    parser.add_argument("--muon", action="store_true", help="Muon in place of Adam, for long runs")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=224, help="pixels of a crop; an example has half of them (224)")
    parser.add_argument(
        "--pool", type=Path, metavar="FOLDER", help="made by two_scale_weights.py; its examples, results"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="start", type=Path, help="the state of an earlier run to begin with")
    parser.add_argument("--ship", metavar="NAME", help="the model in weights/ that gets the graph")
    arguments = parser.parse_args()
    if arguments.pool and not any(arguments.pool.glob("*.npy")):
        parser.error(f"there is no pool of examples in {arguments.pool}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.weights, arguments)
    if run.resume():
        print(f"continued at step {run.step}")
    elif arguments.start:
        run.start_from(arguments.start)
    else:
        run.calibrate()
    run.train()
    save_model(
        without_rounding(run.network, run.spec), run.spec, arguments.out / f"{arguments.weights.stem}.safetensors"
    )
    if arguments.ship:
        run.ship(arguments.ship)


if __name__ == "__main__":
    main()

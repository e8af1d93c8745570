"""Train a network for two scales to give the results of a ResUNet that is trained.

    python examples/two_scale_weights.py WEIGHTS CLEAN_FOLDER OUT [--from QUICK] [--steps 10000]

WEIGHTS are of the method `simulated`. First a pool of examples is made: crops of clean photos with simulated camera
noise, and what WEIGHTS make of them, with the coarse chroma. Of eight batches three are in low light, and one has sharp
textures (`sharp_textures.py`). Then the network learns to give these results, and for a part of the loss the
clean crops. Its U-Net begins with WEIGHTS, or both of its networks with those of --from. At first the U-Net learns
alone, from examples at half their size. An example is drawn several times, mirrored or turned, which costs less than
new ones. A run that was stopped continues when the same line is given again. OUT gets the pool, the state, and
`two-scale.safetensors` in the end.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from distillation import Distillation, examples_of
from result_pool import ResultPool, halved_examples, make_pool, pool_loss
from sharp_textures import sharp_example
from torch import Tensor

from nsp_cli.engine.backends.device import choose_device
from nsp_cli.engine.loading import method_of
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.networks import build_network
from nsp_cli.networks.twoscale import TwoScale
from nsp_cli.training.optimizers import Muon

_PLAIN = {"ensemble": 1, "coarse_chroma": False}
_ANY_LIGHT: dict[str, float] = {}
_LOW_LIGHT = {"low_light_prob": 1.0, "neutral_isp_prob": 0.25}
"""Settings of the method for the batches of the pool, in turn: strong noise is what a small network learns last."""


class TwoScaleRun(Distillation):
    """The results of the teacher are those of the pool.

    Attributes
    ----------
    alone : int
        Number of steps in which the U-Net learns alone, from the results at half their size.
    """

    alone = 0

    def loss(self, batch: Tensor) -> Tensor:
        """Return the loss of a batch of the pool."""
        if self.step >= self.alone:
            return pool_loss(self.network, batch)
        return pool_loss(self.network.get_submodule("coarse"), halved_examples(batch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path, metavar="CLEAN_FOLDER")
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="start", type=Path, help="weights for two scales to begin with")
    parser.add_argument("--batches", type=int, default=1600, help="of the pool (1600)")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--alone", type=int, default=3000, help="first steps, in which the U-Net learns alone (3000)")
    parser.add_argument("--lr", type=float, default=1.4e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=384, help="pixels of a crop; an example has half of them (384)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="stop there; the same line without it continues")
    arguments = parser.parse_args()
    teacher, spec = load_model(arguments.weights)
    shape = {"patch": arguments.patch, "batch": arguments.batch, "seed": arguments.seed, "steps": arguments.batches}
    any_light, low_light = (
        cast(Simulated, method_of(spec, {**_PLAIN, **light}, arguments.weights.name))
        for light in (_ANY_LIGHT, _LOW_LIGHT)
    )
    usual, dark = (examples_of(arguments.photos, method, **shape) for method in (any_light, low_light))
    sharp = examples_of(arguments.photos, any_light, make_example=sharp_example, **shape)
    sources = [usual, dark] * 3 + [usual, sharp]
    files = make_pool(arguments.out / "pool", teacher, sources, arguments.batches)
    torch.manual_seed(arguments.seed)
    spec = replace(spec, network="twoscale", method_args={}, halo=0)
    network = build_network(spec.network, spec.network_args)
    assert isinstance(network, TwoScale)
    start = load_model(arguments.start)[0] if arguments.start else teacher
    network.load_state_dict(network.adopt(start.state_dict()))
    run = TwoScaleRun(
        teacher,
        network.to(choose_device(arguments.device)),
        cast(Simulated, method_of(spec, {}, arguments.weights.name)),
        Muon(network.parameters(), lr=arguments.lr, weight_decay=0.0),
        ResultPool(files, arguments.batch, arguments.seed),
        arguments.out / "two-scale.state",
        steps=arguments.steps,
        rate=arguments.lr,
    )
    run.alone = arguments.alone
    if run.resume():
        print(f"continued at step {run.step}")
    run.train(arguments.stop_at)
    if run.step < arguments.steps:
        return
    kept = {key: getattr(arguments, key) for key in ("batches", "steps", "alone", "lr", "batch", "patch")}
    save_model(
        network, replace(spec, training={**spec.training, "two_scales": kept}), arguments.out / "two-scale.safetensors"
    )


if __name__ == "__main__":
    main()

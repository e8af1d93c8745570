"""Train a ResUNet with fewer hidden channels to give the output of one that is trained.

    python examples/thin_weights.py WEIGHTS CLEAN_FOLDER OUT --hidden 24,32,32 [--steps 5000]

WEIGHTS are of the method `simulated`. Each block of the new network keeps, of the channels between its two
convolutions, those that a linear regression of the block's output needs most, and begins with the regression's weights.
Then all weights learn to give the output of the first network, and of each of its blocks, on clean photos with
simulated camera noise. A run that was stopped continues when the same line is given again. OUT gets its state, and
`thin.safetensors` in the end.

Channels are chosen as by He et al., "Channel pruning for accelerating very deep neural networks" (ICCV 2017), but by
backward elimination in place of the lasso.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from distillation import Distillation, examples_of
from torch import Tensor, nn

from nsp_cli.engine.backends.device import choose_device
from nsp_cli.engine.loading import method_of
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.networks import build_network
from nsp_cli.networks.unet import ResUNet
from nsp_cli.training.optimizers import Muon

_BATCHES = 24  # of examples, for the regressions
_PIXELS = 20_000  # of each batch
_RIDGE = 1e-6  # as a fraction of the mean square of a feature
_ROUNDS = 4  # at least, in which channels are dropped
_TAPS = 9  # of a 3×3 kernel
_LAYER_WEIGHT = 0.02


def blocks_of(network: nn.Module, photos: Tensor) -> list[str]:
    """Return the names of a ResUNet's residual blocks, in the order in which they run."""
    order: list[str] = []
    blocks = {
        name: module
        for name, module in network.named_modules()
        if isinstance(getattr(module, "body", None), nn.Sequential)
    }
    hooks = [module.register_forward_hook(lambda *_, name=name: order.append(name)) for name, module in blocks.items()]
    with torch.no_grad():
        network(photos)
    for hook in hooks:
        hook.remove()
    return order


@torch.no_grad()
def input_and_output(network: nn.Module, block: str, photos: Tensor) -> tuple[Tensor, Tensor]:
    """Return what enters and leaves a block (N, C, h, w) when the network runs on photos."""
    seen: list[tuple[Tensor, Tensor]] = []

    def record(_: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        seen.append((given[0], output))

    hook = network.get_submodule(block).register_forward_hook(record)
    network(photos)
    hook.remove()
    return seen[0]


class Regression:
    """Normal equations of a linear regression, float64: outputs (n, O) from features (n, I) and a constant."""

    def __init__(self, features: int, outputs: int) -> None:
        self.moments = torch.zeros(features + 1, features + 1, dtype=torch.float64)
        self.products = torch.zeros(features + 1, outputs, dtype=torch.float64)

    def add(self, features: Tensor, outputs: Tensor) -> None:
        """Add samples."""
        features = torch.cat([features, features.new_ones(len(features), 1)], 1)
        self.moments += (features.T @ features).double().cpu()
        self.products += (features.T @ outputs).double().cpu()

    def solve(self, channels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the weights (9·len(channels) + 1, O) of some channels' features, and the inverse of their moments."""
        chosen = [channel * _TAPS + tap for channel in channels for tap in range(_TAPS)] + [len(self.moments) - 1]
        moments = self.moments[chosen][:, chosen]
        moments = moments + _RIDGE * moments.diagonal().mean() * torch.eye(len(chosen), dtype=torch.float64)
        inverse = torch.linalg.inv(moments)
        return inverse @ self.products[chosen], inverse

    def choose(self, channels: int, count: int) -> list[int]:
        """Choose `count` channels: again and again, those go whose loss increases the squared error least."""
        kept = list(range(channels))
        while len(kept) > count:
            weights, inverse = self.solve(kept)
            costs = []
            for start in range(0, _TAPS * len(kept), _TAPS):
                part = slice(start, start + _TAPS)
                costs.append(float((weights[part] * (torch.linalg.inv(inverse[part, part]) @ weights[part])).sum()))
            order = sorted(range(len(kept)), key=costs.__getitem__)
            gone = set(order[: max(1, (len(kept) - count) // _ROUNDS)])
            kept = [channel for index, channel in enumerate(kept) if index not in gone]
        return kept


@torch.no_grad()
def thin_block(teacher: nn.Module, network: nn.Module, block: str, batches: Sequence[Tensor]) -> None:
    """Fit a block of the new network, with its own input, to the output of the teacher's block."""
    old, new = (cast(Any, one.get_submodule(block)).body for one in (teacher, network))
    generator = torch.Generator().manual_seed(0)
    regression = Regression(old[0].out_channels * _TAPS, old[2].out_channels)
    for photos in batches:
        expected = input_and_output(teacher, block, photos)[1]
        given = input_and_output(network, block, photos)[0]
        features = F.unfold(old[0](given).relu(), 3, padding=1).transpose(1, 2).flatten(0, 1)
        missing = (expected - given).permute(0, 2, 3, 1).flatten(0, 2)
        some = torch.randperm(len(features), generator=generator)[:_PIXELS].to(features.device)
        regression.add(features[some], missing[some])
    kept = regression.choose(old[0].out_channels, new[0].out_channels)
    weights = regression.solve(kept)[0].float()
    new[0].weight.copy_(old[0].weight[kept])
    new[0].bias.copy_(old[0].bias[kept])
    new[2].weight.copy_(weights[:-1].unflatten(0, (len(kept), 3, 3)).permute(3, 0, 1, 2))
    new[2].bias.copy_(weights[-1])


def thin(teacher: nn.Module, network: nn.Module, batches: Sequence[Tensor]) -> Iterator[str]:
    """Set all weights of the new network, block by block; yield the name of each block."""
    own = network.state_dict()
    network.load_state_dict(
        {name: old if old.shape == own[name].shape else own[name] for name, old in teacher.state_dict().items()}
    )
    for block in blocks_of(teacher, batches[0]):
        thin_block(teacher, network, block, batches)
        yield block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("photos", type=Path, metavar="CLEAN_FOLDER")
    parser.add_argument("out", type=Path)
    parser.add_argument("--hidden", required=True, help="channels between a block's convolutions, at each level")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=224, help="pixels of a crop; an example has half of them (224)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that make examples; for a GPU (0)")
    parser.add_argument("--stop-at", type=int, metavar="STEP", help="stop there; the same line without it continues")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    teacher, spec = load_model(arguments.weights)
    if not isinstance(teacher, ResUNet):
        parser.error("WEIGHTS must be of a ResUNet.")
    spec = replace(spec, network_args={**spec.network_args, "hidden": [int(n) for n in arguments.hidden.split(",")]})
    torch.manual_seed(arguments.seed)
    network = build_network(spec.network, spec.network_args).to(choose_device(arguments.device))
    method = cast(Simulated, method_of(spec, {"ensemble": 1}, arguments.weights.name))
    shape = {"patch": arguments.patch, "batch": arguments.batch}
    run = Distillation(
        teacher,
        network,
        method,
        Muon(network.parameters(), lr=arguments.lr, weight_decay=0.0),
        examples_of(arguments.photos, method, **shape, steps=arguments.steps, seed=arguments.seed),
        arguments.out / "thin.state",
        steps=arguments.steps,
        rate=arguments.lr,
        workers=arguments.workers,
    )
    if run.resume():
        print(f"continued at step {run.step}")
    else:
        examples = examples_of(arguments.photos, method, **shape, steps=_BATCHES, seed=arguments.seed + 1)
        batches = [examples[step].to(run.device) for step in range(_BATCHES)]
        batches = [torch.cat([batch[:, :3], batch[:, -1:]], 1) for batch in batches]
        for block in thin(teacher, network, batches):
            print(f"{block}: {cast(Any, network.get_submodule(block)).body[0].out_channels} channels", flush=True)
    run.layers, run.layer_weight = blocks_of(network, torch.zeros(1, 4, 16, 16, device=run.device)), _LAYER_WEIGHT
    run.train(arguments.stop_at)
    if run.step < arguments.steps:
        return
    training = {**spec.training, "thinned": {key: getattr(arguments, key) for key in ("steps", "lr", "batch", "patch")}}
    save_model(network, replace(spec, training=training), arguments.out / "thin.safetensors")


if __name__ == "__main__":
    main()

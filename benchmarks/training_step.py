"""Milliseconds of a training step (loss, backward, optimizer) by precision, memory layout and torch.compile.

    python benchmarks/training_step.py [--method nsp] [--preset photographer] [--batch N] [--patch N] [--no-variants]

Every variant trains its own copy of the same network on the same photos and the same pairs. "contiguous" undoes what
the trainer does: the weights and the network's input are NCHW. The row "examples" is what the method makes of the
crops of a step, such as simulated noise; decoding of photos is not in it. `--no-variants` leaves out all but the
trainer's own variant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from timing import failure, interleave, parser, print_table, use_threads
from torch import Generator, Tensor, nn

from nsp_cli.engine.backends.device import Precision, autocast, choose_device, choose_precision
from nsp_cli.methods import build_method
from nsp_cli.networks import build_network
from nsp_cli.simulation.scene import sample_picture
from nsp_cli.training import PRESETS, TrainConfig
from nsp_cli.training.optimizers import OPTIMIZERS

_STEPS = 4
"""Steps in one timed call, so that methods which draw their stride show it in the mean."""


class _Contiguous(nn.Module):
    """Gives the network its input in NCHW order, whatever the method made."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.contiguous())


def make_steps(
    settings: TrainConfig, photos: Tensor, precision: Precision, *, channels_last: bool, compiled: bool
) -> Callable[[], None]:
    """A call that takes `_STEPS` training steps."""
    torch.manual_seed(0)
    method = build_method(settings.method, settings.method_args)
    network = build_network(settings.network, {**settings.network_args, **method.network_args}).to(photos.device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    learner: nn.Module = network if channels_last else _Contiguous(network)
    if compiled:
        learner = torch.compile(learner)  # pyright: ignore[reportAssignmentType]
    kind = OPTIMIZERS[settings.optimizer]
    optimizer = kind(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    generator = Generator(photos.device)

    def steps() -> None:
        for seed in range(_STEPS):
            generator.manual_seed(seed)
            with autocast(photos.device, precision):
                loss = method.loss(learner, photos, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return steps


def make_examples(settings: TrainConfig) -> Callable[[], Tensor]:
    """A call that makes the examples of `_STEPS` steps, and returns the last batch."""
    method = build_method(settings.method, settings.method_args)
    crop = sample_picture(settings.patch, settings.patch, np.random.default_rng(0)).astype(np.float32)

    def examples() -> Tensor:
        batches = [
            np.stack([method.make_example(crop, np.random.default_rng((step, i))) for i in range(settings.batch)])
            for step in range(_STEPS)
        ]
        return torch.from_numpy(batches[-1]).permute(0, 3, 1, 2).contiguous()

    return examples


def main() -> None:
    flags = parser(__doc__, repeats=3)
    flags.add_argument("--method", choices=("nsp", "simulated"), default="nsp")
    flags.add_argument("--no-variants", action="store_true", help="measure the trainer's own variant alone")
    flags.add_argument("--preset", choices=list(PRESETS["nsp"]), default="photographer", help="network, pairs, batch")
    flags.add_argument("--batch", type=int, default=0, help="photos in a step (the preset's)")
    flags.add_argument("--patch", type=int, default=0, help="their side in pixels (the preset's)")
    args = flags.parse_args()
    use_threads(args.threads)
    settings, device = PRESETS[args.method][args.preset], choose_device(args.device)
    batch, patch = args.batch or settings.batch, args.patch or settings.patch
    settings = replace(settings, batch=batch, patch=patch)
    examples = make_examples(settings)
    photos = examples().to(device)
    variants: dict[str, Callable[[], object]] = {}
    own = [(choose_precision(device), True, device.type == "cuda")]
    every = product((Precision.FP32, Precision.BF16), (False, True), (False, True))
    for precision, channels_last, compiled in own if args.no_variants else every:
        name = f"{precision}, {'channels last' if channels_last else 'contiguous'}{', compiled' if compiled else ''}"
        steps = make_steps(settings, photos, precision, channels_last=channels_last, compiled=compiled)
        if compiled and (reason := failure(steps)) is not None:
            print(f"Left out: {name}: {reason}\n")
        else:
            variants[name] = steps
    reference = next(iter(variants))
    variants["examples"] = examples
    times = interleave(variants, args.repeats, device, args.clock)
    print_table(
        [f"{args.preset}, batch {batch}, patch {patch}", "ms a step", "faster"],
        [
            [name, f"{1e3 * times.median(name) / _STEPS:.0f}", f"{times.ratio(name, reference):.2f}×"]
            for name in variants
        ],
    )


if __name__ == "__main__":
    main()

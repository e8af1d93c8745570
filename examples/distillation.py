"""Training a network to give the output of another one, for the scripts that quantize, thin and add a scale."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from nsp_cli.cli.interrupt import STOPPED, stop_on_interrupt
from nsp_cli.engine.backends.device import Precision, autocast, choose_precision
from nsp_cli.image import is_photo
from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_tensors, save_tensors
from nsp_cli.training.data import MakeExample, StepBatches

_SAVE_EVERY = 100  # steps
_WARM_UP = 50  # steps


class Distillation:
    """A run on clean photos with simulated camera noise; one that was stopped can be continued.

    The loss is that of the method `simulated`, with the teacher's output as the target.

    Attributes
    ----------
    layers : list of str
        Names of layers whose outputs are to agree, too. Empty at first.
    layer_weight : float
        Weight of their mean squared error, as a fraction of the variance of the teacher's output.
    device : torch.device
        That of the network when the run is made.
    """

    def __init__(
        self,
        teacher: nn.Module,
        network: nn.Module,
        method: Simulated,
        optimizer: torch.optim.Optimizer,
        examples: Dataset[Tensor],
        state: Path,
        *,
        steps: int,
        rate: float,
        workers: int = 0,
    ) -> None:
        self.device = next(network.parameters()).device
        self.teacher = teacher.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.method, self.optimizer, self.examples = method, optimizer, examples
        self.steps, self.rate, self.state, self.workers = steps, rate, state, workers
        self.precision = choose_precision(self.device, Precision.AUTO)
        self.layers: list[str] = []
        self.layer_weight = 0.0
        self.step = 0

    def train(self, stop_at: int | None = None) -> None:
        """Take the steps that are left, or those up to `stop_at`, and save the state regularly.

        After Ctrl-C the state is saved at the end of the step, and the process exits with code 130.
        """
        started, begun = time.monotonic(), self.step
        mean = 0.0
        last = self.steps if stop_at is None else min(stop_at, self.steps)
        steps = range(self.step, last)
        with stop_on_interrupt("step") as stop:
            for batch in DataLoader(self.examples, batch_size=None, sampler=steps, num_workers=self.workers):
                loss = self._step(batch)
                mean += (loss - mean) / min(self.step - begun, _SAVE_EVERY)
                stopped = stop()
                if self.step % _SAVE_EVERY == 0 or self.step == last or stopped:
                    self.save()
                    rate = (self.step - begun) / (time.monotonic() - started)
                    print(f"step {self.step} of {self.steps}, loss {mean:.5f}, {rate:.2f} steps/s", flush=True)
                if stopped:
                    sys.exit(STOPPED)

    def _step(self, batch: Tensor) -> float:
        """Take a step with a batch of examples, and return its loss."""
        fall = 0.5 * (1 + math.cos(math.pi * self.step / self.steps)) * min(1.0, (self.step + 1) / _WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * fall * group.get("factor", 1.0)
        with autocast(self.device, self.precision):
            loss = self.loss(batch.to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def loss(self, batch: Tensor) -> Tensor:
        """Return the loss of a batch of examples (N, C, h, w), see `methods.simulated`."""
        noisy, level = batch[:, :3], batch[:, -1:]
        seen = torch.cat([noisy, level], 1).contiguous(memory_format=torch.channels_last)
        outputs: list[dict[str, Tensor]] = [{}, {}]
        hooks = [
            network.get_submodule(name).register_forward_hook(_recorder(found, name))
            for network, found in zip((self.teacher, self.network), outputs, strict=True)
            for name in self.layers
        ]
        try:
            with torch.no_grad():
                target = F.pixel_unshuffle(self.teacher(seen), self.method.scale)
            loss = self.method.loss(self.network, torch.cat([noisy, target, level], 1), torch.Generator())
        finally:
            for hook in hooks:
                hook.remove()
        expected, got = outputs
        errors = [F.mse_loss(got[name], expected[name]) / expected[name].var() for name in self.layers]
        return loss + self.layer_weight * torch.stack(errors).mean() if errors else loss

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


def examples_of(
    folder: Path,
    method: Simulated,
    *,
    patch: int,
    batch: int,
    steps: int,
    seed: int,
    make_example: MakeExample | None = None,
) -> StepBatches:
    """Prepare examples, by default those of the method `simulated`, a batch for each step, of a folder's photos."""
    return StepBatches(
        sorted(path for path in folder.rglob("*") if path.is_file() and is_photo(path)),
        patch=patch * method.scale,
        batch=batch,
        steps=steps,
        seed=seed,
        cache_bytes=2 * 10**9,
        make_example=make_example or method.make_example,
    )


def _recorder(found: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def record(_: nn.Module, __: object, output: Tensor) -> None:
        found[name] = output

    return record

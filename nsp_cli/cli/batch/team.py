"""Several processes on one batch, as `torchrun` starts them: each takes every n-th photo, and they end together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from nsp_cli.system.processes import place

T = TypeVar("T")

_LONGEST_BATCH = timedelta(days=30)


@dataclass(frozen=True)
class Team:
    """This process among its fellows; alone, `world` is 1 and nothing is imported."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part: the parts of all are everything, once."""
        return items[self.rank :: self.world]

    def gather(self, value: T) -> list[T]:
        """Every process's value. torchrun kills all when one ends with an error, so they wait for each other here."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return [value for value in values if value is not None]


@contextmanager
def join() -> Generator[Team]:
    """Join the processes that torchrun started."""
    if place().alone:
        yield Team()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=_LONGEST_BATCH)
    try:
        yield Team(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def own_device(device: str, model: str | None = None) -> str:
    """This process's GPU where torchrun started several processes and the user named none."""
    if place().alone or device not in ("auto", "cuda"):
        return device
    if device == "auto" and model is not None and model.endswith(".onnx"):
        import onnxruntime as ort

        if "CUDAExecutionProvider" not in ort.get_available_providers():
            return device
    import torch

    devices = torch.cuda.device_count()
    return f"cuda:{place().local_rank % devices}" if devices else device

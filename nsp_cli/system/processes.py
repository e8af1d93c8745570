"""Rank, sharding and gathering of the processes that `torchrun` started. Imports torch only if there are several."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

_LONGEST_WAIT = timedelta(days=30)  # one process may be a whole batch behind


@dataclass(frozen=True)
class ProcessInfo:
    """Process `rank` of `world_size`, and process `local_rank` of those on this machine."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether no other process works on the same."""
        return self.world_size == 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process prints and writes the files that all have in common."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part; the parts of all processes are all items, each once."""
        return items[self.rank :: self.world_size]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank. All of them wait here for each other."""
        if self.is_alone:
            return [value]
        import torch.distributed as dist

        values: list[T | None] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return [value for value in values if value is not None]


def process_info() -> ProcessInfo:
    """Read rank and world size from `torchrun`'s environment variables; one process alone without them."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    return ProcessInfo(*(int(os.environ.get(name, default)) for name, default in zip(names, "001", strict=True)))


@contextmanager
def process_group(communication: str = "gloo") -> Generator[ProcessInfo]:
    """Join the processes that `torchrun` started, and leave them at the end.

    torchrun ends all processes when one of them leaves with an error, so they wait for each other before they leave.

    Parameters
    ----------
    communication : str
        A backend of `torch.distributed`: "gloo", or "nccl" for tensors on NVIDIA GPUs.
    """
    process = process_info()
    if process.is_alone:
        yield process
        return
    import torch.distributed as dist

    dist.init_process_group(communication, timeout=_LONGEST_WAIT)
    try:
        yield process
    finally:
        # Else a process now and then ends in "terminate called without an active exception": a wrapped network in a
        # cycle of references keeps the group's threads.
        gc.collect()
        dist.destroy_process_group()

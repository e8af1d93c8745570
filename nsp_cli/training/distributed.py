"""Several processes, as `torchrun` starts them: every GPU of every machine, or the cores of one."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nsp_cli.system.processes import place


class _Shared(DistributedDataParallel):
    """A network that still says of itself what it said alone: a loss may ask for its `scale` or `multiple`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":  # not there yet
                raise
            return getattr(self.module, name)


@dataclass(frozen=True)
class Team:
    """This process among its fellows; alone, `world` is 1 and every method does nothing."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        return _Shared(network) if self.world > 1 else network

    def agree(self, value: float, device: torch.device) -> float:
        """The first process's value: clocks differ, and all must stop at the same step."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)


@contextmanager
def team(device: torch.device) -> Generator[tuple[Team, torch.device]]:
    """Join the processes that `torchrun` started, each with a device of its own, and part from them at the end."""
    here = place()
    if here.alone:
        yield Team(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", here.local_rank)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size()), device
        dist.barrier()  # the first one is still writing files: nobody may part while others need them
    finally:
        # Else a process now and then ends in "terminate called without an active exception", as threads do that outlive
        # their owner; we think that a wrapped network in a cycle of references kept the group's.
        gc.collect()
        dist.destroy_process_group()

"""Training in several processes, as `torchrun` starts them: one for each GPU, or for each core."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nsp_cli.system.processes import ProcessInfo, process_group, process_info


class _Shared(DistributedDataParallel):
    """A distributed network that has the attributes of the network itself: a loss may use its `scale` or `multiple`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":  # not there yet
                raise
            return getattr(self.module, name)


def wrap(network: nn.Module, process: ProcessInfo) -> nn.Module:
    """Return the network with its gradients averaged over all processes; the network itself if there is one only."""
    return network if process.is_alone else _Shared(network)


def from_main_process(value: float, process: ProcessInfo, device: torch.device) -> float:
    """Return the main process's value: clocks differ, and all processes must stop at the same step."""
    if process.is_alone:
        return value
    shared = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


@contextmanager
def training_processes(device: torch.device) -> Generator[tuple[ProcessInfo, torch.device]]:
    """Join the processes that `torchrun` started, each with a device of its own, and leave them at the end."""
    process = process_info()
    if device.type == "cuda" and not process.is_alone:
        device = torch.device("cuda", process.local_rank)
        torch.cuda.set_device(device)
    with process_group("nccl" if device.type == "cuda" else "gloo"):
        yield process, device
        if not process.is_alone:
            dist.barrier()  # the main process is still writing files that the others may need

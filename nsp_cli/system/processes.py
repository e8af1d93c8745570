"""This process among those that `torchrun` started, by the variables that it sets. Imports no framework."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Number `rank` of `world` processes, and number `local_rank` of those on this machine."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1

    @property
    def alone(self) -> bool:
        return self.world == 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks and looks after the files."""
        return self.rank == 0


def place() -> Place:
    """Where this process is; the only one where `torchrun` did not start it."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    rank, local_rank, world = (int(os.environ.get(name, default)) for name, default in zip(names, "001", strict=True))
    return Place(rank, local_rank, world)

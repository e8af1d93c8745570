"""The protocol of a runtime: an array in, an array out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nsp_cli.model.spec import PipelineSpec


@runtime_checkable
class Backend(Protocol):
    """A pipeline on a device. Tests give the engine any function with a `spec`.

    `run` maps (1, planes, h, w) float32 in [0, 1], see `PipelineSpec.planes`, to (1, C, scale·h, scale·w) float32 and
    raises `MemoryLimitError` when the tile is too large; `free_bytes` is the memory that a tile may use now.
    """

    @property
    def spec(self) -> PipelineSpec:
        """Tensor contract and tiling requirements of the pipeline."""
        ...

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the pipeline on one tile, (1, planes, h, w) float32. Raises `MemoryLimitError`."""
        ...

    def free_bytes(self) -> int:
        """Return the memory that a tile may use now, in bytes."""
        ...

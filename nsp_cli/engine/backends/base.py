"""The protocol of a runtime: an array in, an array out."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nsp_cli.model.spec import PipelineSpec


@runtime_checkable
class Backend(Protocol):
    """A pipeline on a device. Any object with these members will do, such as the stand-ins of the tests."""

    @property
    def spec(self) -> PipelineSpec:
        """Shapes of the pipeline's input and output, and how tiles have to be cut for it."""
        ...

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the pipeline on one tile.

        Parameters
        ----------
        tile : ndarray
            (1, planes, h, w) float32 in [0, 1], see `PipelineSpec.planes`.

        Returns
        -------
        ndarray
            (1, C, scale·h, scale·w) float32.

        Raises
        ------
        MemoryLimitError
            The tile is too large for the memory.
        BackendError
            The runtime fails for another reason.
        """
        ...

    def free_bytes(self) -> int:
        """Return the memory that a tile may use now, in bytes."""
        ...

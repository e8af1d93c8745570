"""The protocol of a runtime: an array in, an array out; and names that the runtimes of graphs share."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import ModelError
from nsp_cli.model.spec import PipelineSpec

PIPELINE_KEY = "nsp.pipeline"
"""Key of the `PipelineSpec` in the metadata of a graph."""

NOISE_LEVEL = "noise_level"
"""Name of the optional second input of noise-conditional models, see `onnx_file.export`."""


@runtime_checkable
class Backend(Protocol):
    """A pipeline on a device. Any object with these members will do, such as the stand-ins of the tests.

    Two more are optional: `half`, see `half_size_backend`, and `release`, a function that frees the memory of tiles.
    """

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


def half_size_backend(backend: Backend) -> Backend:
    """Return the backend for the photo at half its size: its attribute `half`, or the same; see `engine.half_size`.

    Raises
    ------
    ModelError
        Its pipeline needs the result of another one, and there is none.
    """
    half: Backend | None = getattr(backend, "half", None)
    if half is None and backend.spec.coarse_input:
        raise ModelError("This graph is one of two that run together; use the model's name, or its .safetensors file.")
    return half or backend


def release(backend: Backend) -> None:
    """Free the memory that a backend keeps for its next tile, where it has a method `release` for that."""
    free = getattr(backend, "release", None)
    if free is not None:
        free()


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without the full stop at its end."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__

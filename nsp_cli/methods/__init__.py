"""The methods: each owns its pairs, its loss and its way at test time. The rest of the code knows only `Method`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.methods.nsp import NSP, STRATEGIES
from nsp_cli.spec import PipelineSpec, Task

__all__ = ["METHODS", "STRATEGIES", "Method", "Pipeline", "build_method"]


class Pipeline(Protocol):
    """A module that takes photos (N, C, H, W) in [0, 1] of any size, and says how they may be cut into tiles."""

    spec: PipelineSpec

    def __call__(self, photo: Tensor) -> Tensor: ...


class Method(Protocol):
    """What the trainer and the engine ask of a method."""

    @property
    def smallest_patch(self) -> int: ...

    def loss(self, network: nn.Module, photos: Tensor, generator: Generator) -> Tensor: ...

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline: ...


METHODS: dict[str, Callable[..., Method]] = {
    "nsp": NSP,
}


def build_method(name: str, arguments: Mapping[str, Any]) -> Method:
    """Make a method from its settings. Raises `ModelError` for an unknown name or settings that it does not have."""
    if name not in METHODS:
        raise ModelError(f"There is no method '{name}'; nsp has {', '.join(METHODS)}.")
    try:
        return METHODS[name](**arguments)
    except TypeError as error:
        raise ModelError(f"The method '{name}' does not take these settings: {error}.") from error

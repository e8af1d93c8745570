"""A pipeline in PyTorch: CUDA, Apple's MPS, or the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nsp_cli.engine.backends.device import Precision, autocast, choose_precision, free_bytes, memory_errors
from nsp_cli.model.spec import PipelineSpec


@dataclass
class TorchBackend:
    """A pipeline in PyTorch; see `backends.base.Backend`.

    Parameters
    ----------
    pipeline : torch.nn.Module
        A `methods.Pipeline` module; it is moved to `device`.
    compile : bool
        Whether to compile it with torch.compile, which saves time from some dozens of megapixels on.
    half : TorchBackend, optional
        The backend for the photo at half its size, see `engine.half_size`.
    """

    name: ClassVar[str] = "torch"

    pipeline: nn.Module
    device: torch.device
    precision: Precision = Precision.AUTO
    compile: bool = False
    half: TorchBackend | None = None
    spec: PipelineSpec = field(init=False)

    def __post_init__(self) -> None:
        self.spec = self.pipeline.spec  # pyright: ignore[reportAttributeAccessIssue]
        self.precision = choose_precision(self.device, self.precision)
        self.pipeline.to(self.device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        if self.precision is Precision.FP32:
            torch.backends.cudnn.allow_tf32 = False  # ten bits of precision are not what fp32 promises
        self._forward = torch.compile(self.pipeline, dynamic=True) if self.compile else self.pipeline

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the pipeline on one tile; see `Backend.run`. A result that overflows is computed again in float32."""
        result = self._run(tile, self.precision)
        if self.precision is not Precision.FP32 and not np.isfinite(result).all():  # fp16 overflows at 65504
            result = self._run(tile, Precision.FP32)
        return result

    def _run(self, tile: NDArray[np.float32], precision: Precision) -> NDArray[np.float32]:
        with memory_errors(), torch.inference_mode(), autocast(self.device, precision):
            photo = torch.from_numpy(tile).to(self.device).contiguous(memory_format=torch.channels_last)
            return self._forward(photo).float().cpu().numpy()

    def free_bytes(self) -> int:
        """Return the memory that a tile may use now, in bytes."""
        return free_bytes(self.device)

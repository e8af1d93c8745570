"""A graph that ships with its weights, or a file in int8, run by OpenVINO: the fastest on a CPU. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.backends.base import NOISE_LEVEL, PIPELINE_KEY, Backend, first_line
from nsp_cli.engine.backends.interruptible import call_interruptibly
from nsp_cli.engine.backends.machine import has_bf16
from nsp_cli.engine.tiling import pad_tile
from nsp_cli.errors import BackendError, MemoryLimitError, ModelError, UnavailableError
from nsp_cli.model.spec import Device, PipelineSpec, Precision
from nsp_cli.system.memory import available_bytes, return_large_blocks

if TYPE_CHECKING:
    from openvino import Model

_FLOAT32, _BFLOAT16 = "f32", "bf16"  # OpenVINO's names
_OUT_OF_MEMORY = ("alloc", "memory", "could not create a primitive")


class OpenVinoBackend:
    """A graph in OpenVINO on the CPU; see `backends.base.Backend`.

    Parameters
    ----------
    path : Path
        A graph that takes all planes of a tile, or an .onnx file with the noise level as its second input, see
        `onnx_file.export`.
    precision : Precision
        "fp32", "bf16" or, for graphs in int8, "int8". In "bf16", sums and what the network adds to the photo stay
        float32. In "int8", the other parts are bfloat16 where the processor multiplies it. They are float32 elsewhere,
        in a graph that enlarges, where bfloat16 would round the photo's own enlargement, and in an .onnx file, where it
        would round the estimate of the noise level.
    threads : int
        CPU threads; 0 uses all cores.

    Attributes
    ----------
    half : Backend or None
        The backend for the photo at half its size, see `engine.half_size`.

    Raises
    ------
    ModelError
        The file is not such a graph.
    UnavailableError
        openvino is not installed.
    """

    name, device = "OpenVINO", str(Device.CPU)
    half: Backend | None = None

    def __init__(self, path: Path, precision: Precision = Precision.FP32, threads: int = 0) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UnavailableError("OpenVINO is not installed; install it with: pip install openvino.") from error
        return_large_blocks()
        core = openvino.Core()
        try:
            model = core.read_model(path)
            metadata: str = model.get_rt_info(["framework", PIPELINE_KEY]).astype(str)
            self.spec = PipelineSpec.from_json(metadata)
            self._planes: int = model.inputs[0].get_partial_shape()[1].get_length()
            if self._planes < self.spec.planes:
                _make_noise_level_an_input(model)
            network_alone = self.spec.side_multiple > 1
            mixed = precision == Precision.INT8 and has_bf16() and self.spec.scale == 1 and network_alone
            hint = _BFLOAT16 if mixed or precision == Precision.BF16 else _FLOAT32
            options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise ModelError(f"{path} is not a graph of nsp that OpenVINO can run: {first_line(error)}.") from error
        self._lock = Lock()  # a request runs once at a time

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the pipeline on one tile; see `Backend.run`."""
        padded = pad_tile(tile, self.spec.side_multiple)
        given = [np.ascontiguousarray(padded[:, : self._planes])]
        if tile.shape[1] > self._planes:
            given.append(np.ascontiguousarray(tile[0, self._planes, :1, 0]))
        elif self._planes < self.spec.planes:
            given.append(np.full(1, -1, np.float32))  # measured by the graph
        try:
            with self._lock:
                found = call_interruptibly(
                    lambda: self._request.infer(given, share_inputs=True)[0], self._request.cancel
                )
                result = np.array(found, np.float32)
        except Exception as error:
            if any(word in str(error).lower() for word in _OUT_OF_MEMORY):
                raise MemoryLimitError("OpenVINO is out of memory.") from error
            raise BackendError(f"OpenVINO failed: {first_line(error)}.") from error
        height, width = (side * self.spec.scale for side in tile.shape[2:])
        return result[..., :height, :width]

    def release(self) -> None:
        """Free the memory of activations; the next tile needs it again."""
        with self._lock:
            self._request.get_compiled_model().release_memory()

    def free_bytes(self) -> int:
        """Return the memory that a tile may use now, in bytes."""
        return available_bytes()


def _make_noise_level_an_input(model: Model) -> None:
    """Make the noise level an input; OpenVINO replaces an optional input by its default value."""
    from openvino import opset13

    default = next(node for node in model.get_ordered_ops() if node.get_friendly_name() == NOISE_LEVEL)
    level = opset13.parameter([1], np.float32, name=NOISE_LEVEL)
    default.output(0).replace(level.output(0))
    model.add_parameters([level])

"""A graph that `nsp export` wrote, or that ships with its weights, run by onnxruntime. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from nsp_cli.engine.backends.base import NOISE_LEVEL, PIPELINE_KEY, Backend, first_line
from nsp_cli.engine.backends.interruptible import call_interruptibly
from nsp_cli.engine.tiling import pad_tile
from nsp_cli.errors import BackendError, MemoryLimitError, ModelError
from nsp_cli.model.spec import Device, PipelineSpec
from nsp_cli.system.memory import available_bytes, return_large_blocks

_PROVIDERS: Mapping[str, str] = {
    Device.CUDA: "CUDAExecutionProvider",
    Device.MPS: "CoreMLExecutionProvider",
    Device.CPU: "CPUExecutionProvider",
}


class OnnxBackend:
    """An exported model in onnxruntime; see `backends.base.Backend`.

    Parameters
    ----------
    path : Path
        An .onnx file that `onnx_file.export` wrote.
    device : str
        See `spec.Device`.
    threads : int
        CPU threads; 0 uses all cores.

    Attributes
    ----------
    half : Backend or None
        The backend for the photo at half its size, see `engine.half_size`.

    Raises
    ------
    ModelError
        The file has no `PipelineSpec` in its metadata, or cannot be read.
    BackendError
        The device is not available.
    """

    name = "onnxruntime"
    half: Backend | None = None

    def __init__(self, path: Path, device: str = "auto", threads: int = 0) -> None:
        return_large_blocks()
        options = ort.SessionOptions()
        options.log_severity_level = 4  # errors are reported by exceptions
        ort.set_default_logger_severity(4)
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait use no CPU
        # Tiles differ in size; buffers planned for the largest would stay allocated for all.
        options.enable_mem_pattern = False
        if not path.is_file():
            raise ModelError(f"There is no model at {path}.")
        providers = _providers(device)
        try:
            self._session = ort.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime has one exception class for each status code
            raise ModelError(f"{path} is not an ONNX model that can be run: {first_line(error)}.") from error
        used = self._session.get_providers()
        if device != Device.AUTO and _PROVIDERS[device.partition(":")[0]] not in used:
            raise BackendError(f"onnxruntime cannot use the device '{device}' here; use `device=cpu`.")
        self.device = next(str(kind) for kind, provider in _PROVIDERS.items() if provider in used)
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if PIPELINE_KEY not in metadata:
            raise ModelError(f"{path} was not exported by nsp: its metadata has no '{PIPELINE_KEY}'.")
        self.spec = PipelineSpec.from_json(metadata[PIPELINE_KEY])
        first = self._session.get_inputs()[0]
        self._input: str = first.name
        self._planes: int = first.shape[1]

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the pipeline on one tile; see `Backend.run`."""
        padded = pad_tile(tile, self.spec.side_multiple)
        given = {self._input: np.ascontiguousarray(padded[:, : self._planes])}
        if tile.shape[1] > self._planes:
            given[NOISE_LEVEL] = np.ascontiguousarray(tile[0, self._planes, :1, 0])
        options = ort.RunOptions()
        try:
            (result,) = call_interruptibly(
                lambda: self._session.run(None, given, options), lambda: setattr(options, "terminate", True)
            )
        except Exception as error:
            if "allocat" in str(error) or "memory" in str(error).lower():
                raise MemoryLimitError("onnxruntime is out of memory.") from error
            raise BackendError(f"onnxruntime failed: {first_line(error)}.") from error
        height, width = (side * self.spec.scale for side in tile.shape[2:])
        return np.asarray(result, np.float32)[..., :height, :width]

    def free_bytes(self) -> int:
        """Return the memory that a tile may use now, in bytes."""
        return available_bytes()


def _providers(device: str) -> list[str | tuple[str, dict[str, int]]]:
    there = ort.get_available_providers()
    if device == Device.AUTO:
        return [_PROVIDERS[kind] for kind in (Device.CUDA, Device.CPU) if _PROVIDERS[kind] in there]
    kind, _, index = device.partition(":")
    provider = _PROVIDERS.get(kind)
    if provider is None or provider not in there:
        raise BackendError(f"onnxruntime has no provider for the device '{device}' here; use `device=cpu`.")
    return [(provider, {"device_id": int(index)})] if kind == Device.CUDA and index.isdigit() else [provider]

"""The choice of a device and of a precision, with PyTorch."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from nsp_cli.errors import BackendError, MemoryLimitError
from nsp_cli.model.spec import Device, Precision
from nsp_cli.system.memory import available_bytes

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "could not create a primitive",
)
"""Parts of the messages of CUDA, cuDNN, oneDNN and the CPU allocators of Linux and Windows."""


def choose_device(name: str = "auto") -> torch.device:
    """Turn a name, see `spec.Device`, into a device that is there. Raises `BackendError`."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there: dict[str, bool] = {Device.CUDA: cuda, Device.MPS: mps, Device.CPU: True}
    if name == Device.AUTO:
        return torch.device(next(str(kind) for kind, found in there.items() if found))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"The device must be one of {', '.join(Device)}, got '{name}'.") from error
    there[Device.CUDA] = cuda and (device.index or 0) < torch.cuda.device_count()
    if not there.get(device.type, False):
        raise BackendError(f"The device '{name}' is not available here; use `device=auto` or `device=cpu`.")
    return device


def choose_precision(device: torch.device, precision: Precision = Precision.AUTO) -> Precision:
    """Resolve AUTO: bf16 where the hardware multiplies it natively, else float32. Raises `BackendError`."""
    if precision is Precision.AUTO:
        return Precision.BF16 if _has_bf16(device) else Precision.FP32
    if precision is Precision.INT8:
        raise BackendError("int8 needs a model that ships with a graph in int8, such as fast, and a CPU; use fp32.")
    if precision is Precision.FP16 and device.type == "cpu":
        raise BackendError("fp16 needs a GPU; on a CPU use `precision=bf16` or fp32.")
    return precision


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        probes = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(probe is not None and probe() for probe in probes)
    return False


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the autocast context for a resolved precision."""
    dtype = torch.float16 if precision is Precision.FP16 else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision in (Precision.BF16, Precision.FP16))


def free_bytes(device: torch.device) -> int:
    """Return the memory that a tile may use now, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_bytes()


@contextmanager
def memory_errors() -> Generator[None]:
    """Convert every out-of-memory error of PyTorch into `MemoryLimitError`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryLimitError("The device is out of memory.") from error
    except MemoryError as error:
        raise MemoryLimitError("The machine is out of memory.") from error
    except RuntimeError as error:
        if any(words in str(error) for words in _OUT_OF_MEMORY):
            raise MemoryLimitError("The machine is out of memory.") from error
        raise

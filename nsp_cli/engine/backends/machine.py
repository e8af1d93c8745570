"""Capabilities of this machine, found without importing PyTorch, which takes a second."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_CUDA_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_BF16 = ("AVX512BF16", "AMX_BF16", "AVX512_SPR")  # NumPy's names
_ROCM = Path("/dev/kfd")


@dataclass(frozen=True)
class Machine:
    """Hardware and libraries of a computer for running networks.

    Attributes
    ----------
    gpu : bool
        Whether there is a GPU that torch may be able to use.
    bf16 : bool
        Whether the processor multiplies bfloat16 natively.
    fast_int8 : bool
        Whether OpenVINO is faster in int8 than in float32.
    openvino : bool
        Whether OpenVINO is installed.
    """

    gpu: bool
    bf16: bool
    fast_int8: bool
    openvino: bool

    @classmethod
    def here(cls) -> Machine:
        """Describe this computer."""
        return cls(has_gpu(), has_bf16(), has_fast_int8(), find_spec("openvino") is not None)


@cache
def has_gpu() -> bool:
    """Return whether there is a GPU that torch may be able to use."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    return _ROCM.exists() or _cuda_devices() > 0


def has_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 numbers natively."""
    return any(map(cpu_has, _BF16))


def has_fast_int8() -> bool:
    """Return whether OpenVINO is faster in int8 than in float32: on x86 processors with AVX2, most with VNNI."""
    return cpu_has("AVX2")


@cache
def cpu_has(feature: str) -> bool:
    """Return whether the processor has an instruction set, by NumPy's name for it, such as "AVX512BF16"."""
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):  # NumPy 2, NumPy 1
        try:
            features: dict[str, bool] = import_module(module).__cpu_features__
            return features.get(feature, False)
        except (ImportError, AttributeError):
            continue
    return False


def _cuda_devices() -> int:
    """Count NVIDIA GPUs through the driver's own library; 0 without one."""
    for name in _CUDA_LIBRARIES:
        try:
            driver = ctypes.CDLL(name)
            count = ctypes.c_int(0)
            if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
                return count.value
        except (OSError, AttributeError):
            continue
    return 0

"""Choose the runtime and the precision of a model that ships with graphs: onnxruntime, OpenVINO or torch."""

from __future__ import annotations

from dataclasses import dataclass

from nsp_cli.engine.backends.machine import Machine
from nsp_cli.model.spec import Device, Precision

_OPENVINO_FROM_MP = 0.5
"""Megapixels for which OpenVINO takes as long as onnxruntime, its start included."""

_TORCH_FROM_MP = 4.0
"""Megapixels for which torch in bfloat16 takes as long as onnxruntime in float32, its start included."""


@dataclass(frozen=True)
class Request:
    """The device, precision, runtime ("auto" or a name) and megapixels that `load_backend` was called with."""

    device: str
    precision: str
    backend: str
    megapixels: float

    def runs_on_cpu(self, machine: Machine) -> bool:
        """Return whether the network runs on the processor."""
        return self.device == Device.CPU or (self.device == Device.AUTO and not machine.gpu)


@dataclass(frozen=True)
class Runtime:
    """A runtime, "torch", "onnx" or "openvino", and the precision that it computes in, which may be "auto"."""

    runtime: str
    precision: str


def choose_runtime(request: Request, machine: Machine, *, graph: bool, int8: bool) -> Runtime | None:
    """Choose how to run a model that ships with graphs; None for torch, with the weights.

    On a CPU onnxruntime starts fastest, and OpenVINO is the fastest from `_OPENVINO_FROM_MP` megapixels on: in int8
    with AVX2, else in bfloat16 where the processor multiplies it, else in float32. onnxruntime gains nothing by int8.
    Without OpenVINO, torch in bfloat16 is faster than onnxruntime from `_TORCH_FROM_MP` megapixels on. The
    choice is a table in docs/architecture.md; the reasons are in benchmarks/README.md.

    Parameters
    ----------
    request : Request
        The arguments of `load_backend`.
    machine : Machine
        The computer that runs the model.
    graph, int8 : bool
        Whether the model ships with a graph in floating point, and with one in int8.

    Returns
    -------
    Runtime or None
        The runtime of a graph and its precision; None for the weights in torch.
    """
    openvino = request.backend == "openvino" or (request.backend == "auto" and machine.openvino)
    large = request.megapixels >= _OPENVINO_FROM_MP
    gains = openvino and large and machine.fast_int8
    use_int8 = request.precision == "int8" or (request.precision == "auto" and gains)
    if int8 and use_int8 and request.runs_on_cpu(machine) and request.backend != "torch":
        return Runtime("openvino" if openvino else "onnx", Precision.INT8)
    if not graph or request.precision == "int8" or request.backend == "torch":
        return None
    if request.backend != "auto":
        return Runtime(request.backend, request.precision)
    if request.precision == "fp16" or not request.runs_on_cpu(machine):
        return None
    worth_it = large if openvino else request.megapixels >= _TORCH_FROM_MP
    if request.precision == "bf16" or (request.precision == "auto" and machine.bf16 and worth_it):
        return Runtime("openvino", request.precision) if openvino and machine.bf16 else None
    return Runtime("openvino" if openvino and large else "onnx", request.precision)

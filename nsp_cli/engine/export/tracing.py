"""Torch modules as ONNX graphs."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nsp_cli.errors import UnavailableError

OPSET = 18
IR_VERSION = 9
"""The newest that onnxruntime 1.17 reads, which chaiNNer contains."""


def trace(module: nn.Module, inputs: dict[str, Tensor], dynamic: tuple[Any, ...] | None = None) -> Any:
    """Return a module as an `onnx.ModelProto`.

    Parameters
    ----------
    module : torch.nn.Module
        The module, which takes the inputs in their order.
    inputs : mapping
        An example of each input by its name.
    dynamic : tuple, optional
        Axes of variable size of each input, as for `torch.onnx.export`; None for fixed shapes.

    Raises
    ------
    UnavailableError
        onnx is not installed.
    """
    try:
        for library in ("onnx", "onnxscript"):
            import_module(library)  # torch's exporter needs it; its own error is less clear
    except ImportError as error:
        raise UnavailableError(
            "Export needs onnx and onnxscript; install them with: pip install onnx onnxscript."
        ) from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names the torchvision operators that are not there
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.cpu().eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["result"],
            opset_version=OPSET,
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for node in (*proto.graph.node, *(n for function in proto.functions for n in function.node)):
        node.ClearField("metadata_props")  # stack traces, with the paths of the machine that exported
        node.ClearField("doc_string")
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    return proto

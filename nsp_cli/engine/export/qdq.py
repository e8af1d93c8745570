"""The QDQ form of an ONNX graph: QuantizeLinear and DequantizeLinear around convolutions that run in int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

WEIGHT_LEVELS = 127  # the largest level of a weight, int8
MAX_PAIR_SUM = 160
"""The largest sum of two neighbouring weights of one sign, in levels before rounding; neighbours in the input channels.

x86 processors without VNNI add two products in 16 bits, and sums above 32767 saturate. At 160 that needs activations
whose weighted mean is above 204 of 255 (32767 / 160). A sum of 128 never saturates, but costs more accuracy than that.
"""
SMALLEST_SCALE = 1e-8  # keeps the scale above 0 where all weights or activations are 0


class Levels(NamedTuple):
    """uint8 levels of a tensor: value = scale · (level − zero)."""

    scale: float
    zero: int


def weight_scales(weight: Tensor) -> Tensor:
    """Return the scale of each output channel, (O, I, h, w) to (O, 1, 1, 1): see `WEIGHT_LEVELS` and `MAX_PAIR_SUM`."""
    weight = weight.detach()
    even = F.pad(weight, (0, 0, 0, 0, 0, weight.shape[1] % 2))
    pairs = torch.stack([even, -even], 1).relu().unflatten(2, (-1, 2)).sum(3)
    scale = torch.maximum(weight.abs().amax((1, 2, 3)) / WEIGHT_LEVELS, pairs.amax((1, 2, 3, 4)) / MAX_PAIR_SUM)
    return scale.clamp_min(SMALLEST_SCALE)[:, None, None, None]


class _Nodes:
    """The nodes of a graph that is quantized, in their order, and the tensors that are rounded so far.

    Attributes
    ----------
    nodes : list
        The nodes of the new graph.
    rounded : mapping
        Name of a tensor → name of the rounded tensor.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._dequantized = set[str]()
        self.nodes: list[Any] = []
        self.rounded: dict[str, str] = {}

    def dequantize(self, name: str, levels: NDArray[Any], scales: NDArray[np.float32]) -> str:
        """Add the levels (O, …) of a weight or bias with the scale of each output channel; return the tensor's name."""
        if (result := f"{name}/rounded") in self._dequantized:  # a network that runs several times has weights once
            return result
        self._dequantized.add(result)
        parts = (("levels", levels), ("scales", scales), ("zeros", np.zeros(len(scales), levels.dtype)))
        self._add(
            "DequantizeLinear", [self._constant(f"{name}/{part}", value) for part, value in parts], result, axis=0
        )
        return result

    def round(self, tensor: str, levels: Levels, *, used_unrounded: bool) -> str:
        """Round a tensor to levels and return the name of the result.

        `used_unrounded` is whether other nodes use the tensor without rounding.
        """
        grid = [
            self._constant(f"{tensor}/scale", np.float32(levels.scale)),
            self._constant(f"{tensor}/zero", np.uint8(levels.zero)),
        ]
        source = tensor
        if used_unrounded:
            # A LeakyReLU of slope 1 changes nothing, but keeps OpenVINO from fusing the rounding into the node before
            # it. OpenVINO fuses it into the LeakyReLU instead: a seventh less time than a separate pass in float32.
            self._add("LeakyRelu", [tensor], source := f"{tensor}/copy", alpha=1.0)
        self._add("QuantizeLinear", [source, *grid], f"{tensor}/levels")
        self._add("DequantizeLinear", [f"{tensor}/levels", *grid], f"{tensor}/rounded")
        self.rounded[tensor] = f"{tensor}/rounded"
        return self.rounded[tensor]

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def store(self) -> None:
        """Replace the graph's nodes, and drop the constants that these do not use."""
        used = {tensor for node in self.nodes for tensor in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        for name, values in (("node", self.nodes), ("initializer", kept)):
            self._graph.ClearField(name)
            getattr(self._graph, name).extend(values)


def to_qdq(model: bytes, convolutions: Mapping[str, tuple[Levels, Levels | None]]) -> bytes:
    """Quantize convolutions of an ONNX model.

    Weights become int8 with a scale for each output channel, biases int32. The output is rounded after its ReLU, if one
    follows.

    Parameters
    ----------
    model : bytes
        The model, whose tensors have the names of the network's weights, with any prefix.
    convolutions : mapping
        Name of a module → levels of its input, and levels of its output, or None to leave that unrounded. Each of these
        convolutions needs a bias.

    Returns
    -------
    bytes
        The new model.
    """
    from onnx import load_from_string, numpy_helper

    graph = (proto := load_from_string(model)).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    relus = {node.input[0]: node for node in graph.node if node.op_type == "Relu"}
    new = _Nodes(graph)
    after: dict[str, Levels] = {}  # levels of tensors that are rounded as soon as they are computed
    for node in list(graph.node):
        name = _module(node, convolutions) if node.op_type == "Conv" else None
        if name is not None:
            source, target = convolutions[name]
            tensor = node.input[0]
            node.input[0] = new.rounded.get(tensor) or new.round(tensor, source, used_unrounded=tensor not in after)
            weight, bias = (numpy_helper.to_array(tensors[tensor]) for tensor in node.input[1:3])
            by_channel = weight_scales(torch.tensor(weight)).numpy()
            scales = by_channel.ravel()
            levels = np.rint(weight / by_channel).astype(np.int8)
            sums = scales * np.float32(source.scale)
            node.input[1] = new.dequantize(f"{name}.weight", levels, scales)
            node.input[2] = new.dequantize(f"{name}.bias", np.rint(bias / sums).astype(np.int32), sums)
            output = node.output[0]
            if target is not None:
                after[relus[output].output[0] if output in relus else output] = target
        elif node.op_type != "Relu":
            node.input[:] = [new.rounded.get(tensor, tensor) if tensor in after else tensor for tensor in node.input]
        new.nodes.append(node)
        if node.output[0] in after:
            new.round(node.output[0], after[node.output[0]], used_unrounded=False)
    new.store()
    return proto.SerializeToString()


def _module(node: Any, names: Mapping[str, Any]) -> str | None:
    tensor: str = node.input[1]
    return next((name for name in names if tensor == f"{name}.weight" or tensor.endswith(f".{name}.weight")), None)

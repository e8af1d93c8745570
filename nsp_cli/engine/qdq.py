"""The QDQ form of an ONNX graph: QuantizeLinear and DequantizeLinear around convolutions that run in int8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHT_LEVELS = 127
PAIR_LEVELS = 160
"""Largest sum of the levels of two neighbouring input channels, but for rounding.

x86 processors without VNNI add two products up in 16 bits and cut off what is larger: at 160 two activations of more
than 204 of 255. A sum of 128 would never be cut off, but costs more accuracy than that.
"""
SMALLEST_SCALE = 1e-8


class Levels(NamedTuple):
    """uint8 levels of a tensor: value = scale · (level − zero)."""

    scale: float
    zero: int


def weight_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scale of each output channel of (O, I, h, w) weights: see `WEIGHT_LEVELS` and `PAIR_LEVELS`."""
    largest = np.abs(weight).max((1, 2, 3)) / np.float32(WEIGHT_LEVELS)
    even = np.pad(weight, [(0, 0), (0, weight.shape[1] % 2), (0, 0), (0, 0)])
    pairs = np.maximum(np.stack([even, -even]), 0).reshape(2, len(weight), -1, 2, *weight.shape[2:])
    largest = np.maximum(largest, pairs.sum(3).max((0, 2, 3, 4)) / np.float32(PAIR_LEVELS))
    return np.maximum(largest, np.float32(SMALLEST_SCALE))


def to_qdq(model: bytes, convolutions: Mapping[str, tuple[Levels, Levels | None]]) -> bytes:
    """Quantise convolutions of an ONNX model, and return the new model.

    Weights become int8 with a scale for each output channel, biases int32. The output is rounded after its ReLU, if one
    follows.

    Parameters
    ----------
    model
        The model, whose tensors have the names of the network's weights, with any prefix.
    convolutions
        The levels of the input of each convolution that is quantised, and of its output if that is, by the name of its
        module.
    """
    from onnx import helper, load_from_string, numpy_helper

    graph = (proto := load_from_string(model)).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    relus = {node.input[0]: node for node in graph.node if node.op_type == "Relu"}
    nodes: list[Any] = []
    after: dict[str, Levels] = {}  # levels of tensors that are rounded as soon as they are computed
    rounded: dict[str, str] = {}
    dequantised = set[str]()

    def constant(name: str, value: Any) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def dequantized(name: str, levels: NDArray[Any], scales: NDArray[np.float32]) -> str:
        if (result := f"{name}/rounded") in dequantised:  # a network that runs several times has its weights once
            return result
        dequantised.add(result)
        parts = (("levels", levels), ("scales", scales), ("zeros", np.zeros(len(scales), levels.dtype)))
        inputs = [constant(f"{name}/{part}", value) for part, value in parts]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [result], axis=0))
        return result

    def rounds(tensor: str, levels: Levels) -> str:
        grid = [
            constant(f"{tensor}/scale", np.float32(levels.scale)),
            constant(f"{tensor}/zero", np.uint8(levels.zero)),
        ]
        source = tensor
        if tensor not in after:
            # The tensor is used unrounded too, so that OpenVINO cannot round it where it is computed. A function that
            # changes nothing takes the rounding in: a seventh less time than a pass of its own, in float32.
            nodes.append(helper.make_node("LeakyRelu", [tensor], [source := f"{tensor}/copy"], alpha=1.0))
        nodes.append(helper.make_node("QuantizeLinear", [source, *grid], [f"{tensor}/levels"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{tensor}/levels", *grid], [f"{tensor}/rounded"]))
        rounded[tensor] = f"{tensor}/rounded"
        return rounded[tensor]

    for node in list(graph.node):
        name = _module(node, convolutions) if node.op_type == "Conv" else None
        if name is not None:
            source, target = convolutions[name]
            node.input[0] = rounded.get(node.input[0]) or rounds(node.input[0], source)
            weight, bias = (numpy_helper.to_array(tensors[tensor]) for tensor in node.input[1:3])
            scales = weight_scales(weight)
            sums = scales * np.float32(source.scale)
            node.input[1] = dequantized(
                f"{name}.weight", np.rint(weight / scales[:, None, None, None]).astype(np.int8), scales
            )
            node.input[2] = dequantized(f"{name}.bias", np.rint(bias / sums).astype(np.int32), sums)
            output = node.output[0]
            if target is not None:
                after[relus[output].output[0] if output in relus else output] = target
        elif node.op_type != "Relu":
            node.input[:] = [rounded.get(tensor, tensor) if tensor in after else tensor for tensor in node.input]
        nodes.append(node)
        if node.output[0] in after:
            rounds(node.output[0], after[node.output[0]])
    graph.ClearField("node")
    graph.node.extend(nodes)
    used = {tensor for node in nodes for tensor in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    return proto.SerializeToString()


def _module(node: Any, names: Mapping[str, Any]) -> str | None:
    tensor: str = node.input[1]
    return next((name for name in names if tensor == f"{name}.weight" or tensor.endswith(f".{name}.weight")), None)

"""Networks in int8: simulated quantization for training, and the QDQ form of an exported graph.

The input of a convolution is uint8 with one scale and zero point; its weights are int8 with a scale for each output
channel; its sums are int32. Its output is uint8 again if a ReLU follows. Otherwise it stays in floating point, as do
additions and pixel-shuffles: rounding the features that residual blocks add to would cost more than all the rest.

Training has the rounding in its forward pass and passes gradients straight through it (Jacob et al., CVPR 2018); the
scales of activations are trained too (LSQ, Esser et al., ICLR 2020).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.engine.export.qdq import SMALLEST_SCALE, Levels, weight_scales
from nsp_cli.errors import ModelError
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.networks.twoscale import TwoScale
from nsp_cli.networks.unet import ResUNet

_LEVELS = 255  # the largest level of an activation, uint8
_SAMPLES = 100_000  # values of a tensor from which a range is taken
_TAIL = 1e-4  # fraction of the values below and above the range that calibration finds


class FakeQuantizer(nn.Module):
    """Round a tensor to 256 levels: value = scale · (level − zero point), with a trained scale.

    Attributes
    ----------
    positive : bool
        Whether the zero point is 0, so that rounding is a ReLU at the same time.
    observing : bool
        Whether values pass unrounded, only through the ReLU, and extend the range.
    """

    def __init__(self, *, positive: bool = False) -> None:
        super().__init__()
        self.positive = positive
        self.observing = False
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.zero = nn.Buffer(torch.zeros(()))
        self.low, self.high = (nn.Buffer(torch.zeros(()), persistent=False) for _ in range(2))

    @property
    def scale(self) -> Tensor:
        """Difference of two neighbouring levels."""
        return self.log_scale.exp()

    @property
    def grid(self) -> Levels:
        """Return the levels for an exported graph."""
        return Levels(float(self.scale.detach()), int(self.zero))

    def levels(self, x: Tensor) -> Tensor:
        """Return level − zero point of each value, as floating-point numbers."""
        zero = float(self.zero)
        return _round(x / self.scale).clamp(-zero, _LEVELS - zero)

    def forward(self, x: Tensor) -> Tensor:
        """Round a tensor of any shape, or observe it."""
        if self.observing:
            self._observe(x)
            return x.relu() if self.positive else x
        return self.scale * self.levels(x)

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        values = x.float().flatten()
        values = values[:: -(-len(values) // _SAMPLES)]
        low, high = torch.quantile(values, values.new_tensor([_TAIL, 1 - _TAIL]))
        self.low.copy_(torch.minimum(self.low, x.new_zeros(()) if self.positive else low))
        self.high.copy_(torch.maximum(self.high, high))
        scale = ((self.high - self.low) / _LEVELS).clamp_min(SMALLEST_SCALE)
        self.zero.copy_((-self.low / scale).round().clamp(0, _LEVELS))
        self.log_scale.copy_(scale.log())


class QuantizedConv(nn.Conv2d):
    """A convolution whose input and weights are rounded, and its output if it has a `target`."""

    source: FakeQuantizer
    target: FakeQuantizer | None

    @classmethod
    def of(cls, conv: nn.Conv2d, source: FakeQuantizer, target: FakeQuantizer | None) -> QuantizedConv:
        """Turn a float convolution into one of this class, its weights unchanged."""
        made = cast(QuantizedConv, conv)
        made.__class__ = cls
        made.source, made.target = source, target
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with rounded inputs and weights, (N, I, h, w) to (N, O, h', w')."""
        if self.source.observing:
            output = super().forward(self.source(input))
            return output if self.target is None else self.target(output)
        scale = weight_scales(self.weight)
        # Levels are integers of at most 8 bits and a sign, so that bfloat16 multiplies them exactly.
        sums = F.conv2d(self.source.levels(input), _round(self.weight / scale), None, self.stride, self.padding)
        bias = 0 if self.bias is None else self.bias[:, None, None]
        output = sums * (scale.flatten() * self.source.scale)[:, None, None] + bias
        return output if self.target is None else self.target(output)


def quantize(network: nn.Module) -> dict[str, QuantizedConv]:
    """Replace the convolutions of a ResUNet or a TwoScale by `QuantizedConv`; a ReLU after one becomes part of it.

    Of a ResUNet four stay in floating point: the first, those of the last block, where rounding costs most, and the
    last. Of a TwoScale these are the first and the last of both networks, the last block at full size, and the first
    convolution of the U-Net's last block.

    Parameters
    ----------
    network : torch.nn.Module
        The network, which is changed; the names of its weights stay.

    Returns
    -------
        The quantized convolutions by their names.

    Raises
    ------
    ModelError
        The network has another architecture.
    """
    if isinstance(network, ResUNet):
        exact = (network.head, network.last, cast(Any, network.up[0])[-1])
    elif isinstance(network, TwoScale):
        exact = (
            network.coarse.head,
            cast(Any, network.coarse.up[0])[-1].body[0],
            network.coarse.last,
            network.fine.head,
            network.fine.body[-1],
            network.fine.last,
        )
    else:
        raise ModelError("Only networks of the architectures 'resunet' and 'twoscale' can be exported in int8.")
    kept = {id(layer) for part in exact for layer in part.modules()}
    for layers in list(network.modules()):
        before: QuantizedConv | None = None
        for name, layer in list(layers.named_children()):
            if isinstance(layer, nn.ReLU) and before is not None:
                before.target = FakeQuantizer(positive=True)
                setattr(layers, name, nn.Identity())
            elif type(layer) is nn.Conv2d and id(layer) not in kept:
                shared = before.target if before is not None else None
                before = QuantizedConv.of(layer, shared or FakeQuantizer(), None)
            else:
                before = None
    return quantized_convolutions(network)


def quantized_convolutions(network: nn.Module) -> dict[str, QuantizedConv]:
    """Return the quantized convolutions of a network by their names."""
    return {name: module for name, module in network.named_modules() if isinstance(module, QuantizedConv)}


def without_rounding(network: nn.Module, spec: ModelSpec) -> nn.Module:
    """Return a new network of a recipe with the weights of one that `quantize` changed."""
    state = network.state_dict()
    plain = build_network(spec.network, spec.network_args)
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return plain


@contextmanager
def calibrating(convolutions: Mapping[str, QuantizedConv]) -> Generator[None]:
    """Run the network in floating point and take the ranges of activations from its inputs."""
    quantizers = {q for conv in convolutions.values() for q in (conv.source, conv.target) if q is not None}
    for quantizer in quantizers:
        quantizer.observing = True
    try:
        yield
    finally:
        for quantizer in quantizers:
            quantizer.observing = False


def _round(x: Tensor) -> Tensor:
    """Round, and pass gradients straight through."""
    return x + (x.round() - x).detach()

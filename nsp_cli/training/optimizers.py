"""Optimizers by name; among them Muon, whose steps are of equal size in every direction of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95  # decay of the gradients' moving average in a step
_ROUNDS = 5  # Newton-Schulz iterations in a step
_QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of x, x³ and x⁵ in an iteration (Jordan et al., Muon, 2024)
_LIKE_ADAM = 0.2  # root mean square of an AdamW step, in units of the learning rate (Liu et al., 2025)


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal for the weights of inner convolutions, AdamW for all else.

    The inner ones are all but the first and the last weights of four dimensions, and but those that see one channel
    (depthwise ones, gates); each is taken for a matrix with a row for every output channel. Learning rate and weight
    decay mean what they mean to AdamW. torch.optim.Muon (from torch 2.9 on) takes matrices alone.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with the scale of Liu et
    al., "Muon is scalable for LLM training" (2025).
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        parameters = list(parameters)
        convolutions = [p for p in parameters if p.ndim == 4]
        inner = [p for p in convolutions[1:-1] if min(p.shape[:2]) > 1]
        others = [p for p in parameters if not any(p is one for one in inner)]
        self._adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay)
        super().__init__([{"params": inner, "lr": lr, "weight_decay": weight_decay}, *self._adamw.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the parameters once; a closure is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        inner, others = self.param_groups
        alike: dict[tuple[int, int, int], list[Tensor]] = {}
        for index, weight in enumerate(inner["params"]):
            if weight.grad is not None:  # on a CPU one by one is faster, by a third
                alike.setdefault((len(weight), weight[0].numel(), -1 if weight.is_cuda else index), []).append(weight)
        for weights in alike.values():
            self._update(weights, inner)
        # Loading a state replaces both.
        self._adamw.param_groups, self._adamw.state = [others], self.state
        self._adamw.step()

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Update convolutions whose matrices have one shape, together: one by one they would leave a GPU idle."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)  # pyright: ignore
        ahead = torch.stack([torch.lerp(g, m, _MOMENTUM).flatten(1) for g, m in zip(gradients, momenta, strict=True)])
        size = _LIKE_ADAM * max(ahead.shape[1:]) ** 0.5
        steps = orthogonal(ahead)
        for weight, step in zip(weights, steps, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(step.view_as(weight), alpha=group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Orthogonalize matrices (…, m, n) by Newton-Schulz iterations; singular values become 0.6 to 1.25.

    Those that are a hundred times smaller than the largest stay smaller.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "muon": Muon,
}
"""Each is called with the parameters, `lr` and `weight_decay`."""

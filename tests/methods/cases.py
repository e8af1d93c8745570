"""The tables of a method's test file: `CASES` for the contract of all methods, `TRIALS` for training that must help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from nsp_cli.methods import Method, build_method
from nsp_cli.networks import build_network
from nsp_cli.training import TrainConfig

TINY_TBSN = {"dim": 8, "blocks": (1, 1, 1), "refinement": 0}
TINY_BLIND = {"width": 16, "depth": 1}
TINY_UNET = {"width": 8, "levels": 2}


def tables_of(method: str) -> Any:
    """Return the test file of a method, which must hold `CASES` and `TRIALS`."""
    return import_module(f"tests.methods.test_{method}")


@dataclass(frozen=True)
class Case:
    """A method with one of its networks, as small as it can be.

    Attributes
    ----------
    blind_spot : side of the square around a pixel, in the pixels of the network's input, that its output does not
        depend on; 0 where the method claims no blindness
    size, size_args : the published network's parameters, and the arguments that give it
    patch : training patch in pixels; lr : for the few steps in which the loss must fall
    seam : where the network is global, and tiles can only resemble the whole photo: their mean difference at most
    """

    method: str
    method_args: Mapping[str, Any]
    network: str
    network_args: Mapping[str, Any]
    blind_spot: int = 0
    size: int = 0
    size_args: Mapping[str, Any] = field(default_factory=dict)
    patch: int = 64
    lr: float = 3e-3
    seam: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.method}-{self.network}"

    def build(self) -> tuple[Method, nn.Module]:
        """The method and a network whose every weight is random, so that nothing is zero by accident."""
        torch.manual_seed(0)
        method = build_method(self.method, self.method_args)
        network = build_network(self.network, {**self.network_args, **method.network_args})
        for parameter in network.parameters():
            if not parameter.abs().sum():
                nn.init.normal_(parameter, std=0.05)
        return method, network.eval()

    def settings(self, **changes: object) -> TrainConfig:
        small = {"steps": 4, "batch": 2, "warmup": 1, "save_every": 2, "precision": "fp32", "compile": False}
        own = {
            "method": self.method,
            "method_args": self.method_args,
            "network": self.network,
            "network_args": self.network_args,
            "patch": self.patch,
            "lr": self.lr,
        }
        return TrainConfig(**{**small, **own, **changes})


def numbered(b: int, h: int, w: int) -> Tensor:
    """Photos (b, 1, h, w) whose every pixel has its own value."""
    return torch.arange(b * h * w, dtype=torch.float32).reshape(b, 1, h, w)


@dataclass(frozen=True)
class Trial:
    """A method, a tiny network for it, and how long it learns: `steps` of Adam at `lr`, cosine to zero.

    `variant` is a word for a second trial of the same method.
    """

    method: str
    network: str
    network_args: Mapping[str, Any]
    method_args: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 60
    lr: float = 1e-2
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.method} {self.variant}".strip()

    def build(self) -> tuple[Method, nn.Module]:
        torch.manual_seed(0)
        method = build_method(self.method, self.method_args)
        return method, build_network(self.network, {**self.network_args, **method.network_args})

"""What the trainer, the engine and the exporter ask of a method, and what most methods answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.model.registry import shipped
from nsp_cli.model.spec import SMALLEST, PipelineSpec, Task
from nsp_cli.networks import as_network, grid_of, tile_of, wants_noise_level
from nsp_cli.ops.noise_level import measured, told
from nsp_cli.ops.padding import pad_to_multiple, reflect_sides
from nsp_cli.system.arguments import Between

Crop = NDArray[np.float32]
"""(P, P, C), sRGB-encoded in [0, 1]."""

Stride = Annotated[int, Between(1, 32)]
Inputs = Annotated[int, Between(0, 1024)]
Passes = Annotated[int, Between(0, 64)]
Border = Annotated[int, Between(0, 64)]
Weight = Annotated[float, Between(0, 1000)]
Fraction = Annotated[float, Between(0, 1)]
"""Bounds of methods' settings: pixels, sub-images, runs of the network, pixels, factor of a loss, probability."""

TURNS = 8
"""Ways to turn and flip a photo."""


ONE_VIEW: Sequence[Mapping[str, Any]] = ({},)
"""Of a method whose weights give one answer."""


class Pipeline(Protocol):
    """A module that takes photos (N, C, H, W) in [0, 1] of any size, and says how they may be cut into tiles."""

    spec: PipelineSpec

    def __call__(self, photo: Tensor) -> Tensor:
        """Map photos (N, planes, H, W) in [0, 1] to (N, C, scale·H, scale·W)."""
        ...


class Method(Protocol):
    """A method owns its pairs, its loss and its way at test time.

    Attributes
    ----------
    smallest_patch : side of the smallest training patch in pixels
    network_args : the arguments that the method prescribes to its network, such as NSP's scale
    wants_clean : whether it learns from clean photos, to which it adds noise of its own
    wants_teachers : whether it learns from what other models make of the photos: a crop has their outputs after its own
        channels, (P, P, 3·(1 + K)) for K of them
    tells_noise_level : whether it can teach a network that wants to know it, see `networks.wants_noise_level`
    views : settings with which the same weights give other answers, equally good ones, for a student to learn from
    """

    @property
    def smallest_patch(self) -> int:
        """Side of the smallest training patch, in pixels."""
        ...

    @property
    def network_args(self) -> Mapping[str, Any]:
        """Arguments that the method prescribes to its network."""
        ...

    @property
    def wants_clean(self) -> bool:
        """Whether the method trains on clean photos."""
        ...

    @property
    def wants_teachers(self) -> bool:
        """Whether the method trains on the outputs of teachers."""
        ...

    @property
    def tells_noise_level(self) -> bool:
        """Whether the method can train a noise-conditional network."""
        ...

    @property
    def views(self) -> Sequence[Mapping[str, Any]]:
        """Settings of the inference variants."""
        ...

    def shoot(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """Make an example of a photo's crop (P, P, 3): what the network sees first, then other planes of the loss's."""
        ...

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the loss of a batch of examples (B, planes, p, p) in [0, 1], a scalar."""
        ...

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        ...


class SelfSupervised:
    """The part of `Method` that is the same for methods which learn from noisy photos alone."""

    wants_clean = False
    wants_teachers = False
    tells_noise_level = False

    @property
    def views(self) -> Sequence[Mapping[str, Any]]:
        """One inference variant, without settings."""
        return ONE_VIEW

    @property
    def network_args(self) -> Mapping[str, Any]:
        """No arguments are prescribed."""
        return {}

    def shoot(self, crop: Crop, rng: np.random.Generator) -> Crop:  # noqa: ARG002
        """Return the crop itself."""
        return crop


class PlainPipeline(nn.Module):
    """The whole photo, one pass: (N, C, H, W) in [0, 1] → (N, C, H, W), or (N, C, t·H, t·W) by `Task.DIRECT`; any H, W.

    For a network that is told the noise level (N, C + 1, H, W), see `PipelineSpec.noise_level`; without that plane the
    level is measured on what is given. One that enlarges denoises by the mean of the t² pixels that each pixel became.
    `margin` is how many pixels reflection adds on all four sides first.

    Raises
    ------
    ModelError : the task enlarges, and the network was not taught to; or it needs the sub-images of a method of pairs
    """

    def __init__(self, network: nn.Module, task: Task, channels: int, margin: int = 0) -> None:
        super().__init__()
        described = as_network(network)
        self.margin = margin
        if described.scale == 1 or task is not Task.DIRECT:
            refuse_to_enlarge(task)
        self.network = network
        self.shrink = described.scale if task is Task.DENOISE else 1
        self.padding = described.multiple
        multiple = grid_of(described)
        self.spec = PipelineSpec(
            task=str(task),
            scale=described.scale // self.shrink,
            multiple=multiple,
            halo=-(-max(described.radius, SMALLEST) // multiple) * multiple,
            working_bytes=4 * described.working_floats,
            channels=channels,
            noise_level=wants_noise_level(described),
            tile=-(-tile_of(described) // multiple) * multiple,
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise or enlarge photos (N, planes, H, W) in [0, 1]."""
        h, w = photo.shape[-2:]
        if self.spec.noise_level and photo.shape[1] == self.spec.channels:
            photo = told(photo, measured(photo))
        out = self.on_padded(pad_to_multiple(reflect_sides(photo, self.margin), self.padding, SMALLEST))
        border = self.spec.scale * self.margin
        return out[..., border:, border:][..., : self.spec.scale * h, : self.spec.scale * w]

    def on_padded(self, photo: Tensor) -> Tensor:
        """Process all planes of a photo whose sides are multiples of `padding`, and at least `SMALLEST`."""
        out = self.network(photo)
        return F.avg_pool2d(out, self.shrink) if self.shrink > 1 else out


class Turned(nn.Module):
    """The mean of what a network says of a photo (N, C, h, w) turned and flipped in `turns` of the eight ways."""

    def __init__(self, network: nn.Module, turns: int) -> None:
        super().__init__()
        self.network, self.turns = network, turns
        described = as_network(network)
        self.scale, self.multiple = described.scale, described.multiple
        self.radius, self.working_floats = described.radius, described.working_floats
        self.noise_level = wants_noise_level(described)

    def forward(self, x: Tensor) -> Tensor:
        """Average the outputs over the orientations, (N, C, H, W)."""
        total = self.network(x)
        for turn in range(1, self.turns):
            total = total + _turn_back(self.network(_turn(x, turn)), turn)
        return total / self.turns


def _turn(x: Tensor, turn: int) -> Tensor:
    """Way 1 to 7: the bits say flip left and right, flip top and bottom, swap both sides."""
    dims = [dim for dim, bit in ((-1, 1), (-2, 2)) if turn & bit]
    x = x.flip(dims) if dims else x
    return x.transpose(-2, -1) if turn & 4 else x


def _turn_back(x: Tensor, turn: int) -> Tensor:
    x = x.transpose(-2, -1) if turn & 4 else x
    dims = [dim for dim, bit in ((-1, 1), (-2, 2)) if turn & bit]
    return x.flip(dims) if dims else x


def refuse_to_enlarge(task: Task) -> None:
    """Raise `ModelError` for any task but denoising."""
    if task is not Task.DENOISE:
        able = [info for info in shipped() if set(info.default_for) - {Task.DENOISE}]
        best = next((info.name for info in able if task in info.default_for), able[0].name) if able else "NAME"
        names = " and ".join(info.name for info in able)
        raise ModelError(f"This model has no '{task}'; of those that ship {names} enlarge: nsp sr -m {best}.")

"""The method protocol and common base classes. How a method is added: see `nsp_cli/methods/__init__.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods.preset_settings import Preset
from nsp_cli.model.registry import shipped
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec, Task
from nsp_cli.networks import WrappedNetwork, as_network, grid_of, has_coarse_input, is_noise_conditional, tile_of
from nsp_cli.ops.noise_level import append_noise_level, estimate_noise_level
from nsp_cli.ops.orientations import FLIPS_FIRST, orient, to_upright
from nsp_cli.ops.padding import pad_to_multiple, reflect_sides
from nsp_cli.system.arguments import ArgumentError, Between, check_fields

Crop = NDArray[np.float32]
"""(P, P, C), sRGB-encoded in [0, 1]."""

# Types of methods' settings, with their bounds:
Stride = Annotated[int, Between(1, 32)]  # pixels
Inputs = Annotated[int, Between(0, 1024)]  # sub-images
Passes = Annotated[int, Between(0, 64)]  # runs of the network
Border = Annotated[int, Between(0, 64)]  # pixels
Weight = Annotated[float, Between(0, 1000)]  # of a term of the loss
Fraction = Annotated[float, Between(0, 1)]  # of examples or pixels; a probability


def check_settings(method: Any) -> None:
    """Check the fields of a method's dataclass by their annotations, in its `__post_init__`. Raises `UsageError`."""
    try:
        check_fields(method)
    except ArgumentError as error:
        raise UsageError(f"The setting {error}.") from error


ONE_VARIANT: Sequence[Mapping[str, Any]] = ({},)
"""The inference variants of a method that has only one: the settings as they are."""


class Pipeline(Protocol):
    """A module that maps photos (N, C, H, W) in [0, 1] of any size.

    Attributes
    ----------
    spec : PipelineSpec
        How photos may be cut into tiles.
    padding : int
        The sides of a photo are extended to multiples of this, in pixels.
    """

    spec: PipelineSpec
    padding: int

    def __call__(self, photo: Tensor) -> Tensor:
        """Map photos (N, planes, H, W) in [0, 1] to (N, C, scale·H, scale·W)."""
        ...


class Method(Protocol):
    """A training method: its pairs, its loss and its inference pipeline.

    A class of methods has a name, a summary, presets and what it needs; one with settings has the rest.

    Attributes
    ----------
    name : str
        Value of `--method`, and key of `methods.METHODS`.
    summary : str
        One line for people, which `nsp train --method list` prints.
    presets : mapping
        Named starting points for training, the one for photographers among them, see `preset_settings`.
    networks : sequence of str
        Names of the networks that the method trains, those with a blind spot or those without one.
    smallest_patch : int
        Side of the smallest training patch in pixels.
    network_args : mapping
        The arguments that the method prescribes to its network, such as NSP's scale.
    needs_clean_photos : bool
        Whether it trains on clean photos, to which it adds simulated noise.
    needs_teachers : bool
        Whether it trains on the outputs of other models: a crop has them after its own channels, (P, P, 3·(1 + K)) for
        K outputs.
    supports_noise_level : bool
        Whether it can train a noise-conditional network, see `networks.is_noise_conditional`.
    inference_variants : sequence of mapping
        Settings with which the same weights give other, equally good results, which a student can be trained on.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    presets: ClassVar[Mapping[str, Preset]]
    needs_clean_photos: ClassVar[bool]
    needs_teachers: ClassVar[bool]

    @property
    def networks(self) -> Sequence[str]:
        """Names of the networks that the method trains."""
        ...

    @property
    def smallest_patch(self) -> int:
        """Side of the smallest training patch, in pixels."""
        ...

    @property
    def network_args(self) -> Mapping[str, Any]:
        """Arguments that the method prescribes to its network."""
        ...

    @property
    def supports_noise_level(self) -> bool:
        """Whether the method can train a noise-conditional network."""
        ...

    @property
    def inference_variants(self) -> Sequence[Mapping[str, Any]]:
        """Settings of the inference variants."""
        ...

    def make_example(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """Make a training example of a photo's crop.

        Parameters
        ----------
        crop : ndarray
            (P, P, C) float32, sRGB-encoded in [0, 1], with P = `TrainConfig.patch`. C is 3, or 3·(1 + K) where the
            method has K outputs of teachers.
        rng : Generator
            NumPy's source of random numbers for the example.

        Returns
        -------
        ndarray
            (p, p, D) float32 in [0, 1] with p ≤ P: the D channels are those that `loss` takes, the noisy photo first.
        """
        ...

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        network : torch.nn.Module
            The network that is trained.
        batch : Tensor
            B examples of `make_example`, (B, D, p, p) float32 in [0, 1].
        generator : Generator
            PyTorch's source of random numbers for the step, on the device of the batch.

        Returns
        -------
        Tensor
            The loss, a scalar.
        """
        ...

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        ...


class SelfSupervised:
    """Base class of methods that need no clean photos, with the values that most of them have."""

    needs_clean_photos: ClassVar[bool] = False
    needs_teachers: ClassVar[bool] = False
    supports_noise_level = False

    @property
    def inference_variants(self) -> Sequence[Mapping[str, Any]]:
        """One inference variant, without settings."""
        return ONE_VARIANT

    @property
    def network_args(self) -> Mapping[str, Any]:
        """Arguments that the method prescribes to its network: none."""
        return {}

    def make_example(self, crop: Crop, rng: np.random.Generator) -> Crop:  # noqa: ARG002
        """Return the crop itself."""
        return crop


class PlainPipeline(nn.Module):
    """Run the network once on the whole photo.

    (N, C, H, W) in [0, 1] → (N, C, H, W), or (N, C, t·H, t·W) for `Task.DIRECT`, with any H and W. A noise-conditional
    network takes (N, C + 1, H, W), see `PipelineSpec.noise_level`; without that plane the level is measured on the
    input. A network that enlarges denoises by the mean of the t² output pixels of each input pixel. `margin` is the
    number of pixels that are added by reflection on all four sides first.

    Raises
    ------
    ModelError
        The task enlarges and the network has scale 1, or the task needs the sub-images of a PD method.
    """

    def __init__(self, network: nn.Module, task: Task, channels: int, margin: int = 0) -> None:
        super().__init__()
        described = as_network(network)
        self.margin = margin
        if described.scale == 1 or task is not Task.DIRECT:
            refuse_to_enlarge(task)
        self.network = network
        self.shrink = described.scale if task is Task.DENOISE else 1
        self.padding = described.size_multiple
        multiple = grid_of(described)
        self.spec = PipelineSpec(
            task=str(task),
            scale=described.scale // self.shrink,
            multiple=multiple,
            halo=-(-max(described.receptive_field_radius, MIN_NETWORK_SIDE) // multiple) * multiple,
            working_bytes=4 * described.activation_floats_per_pixel,
            channels=channels,
            noise_level=is_noise_conditional(described),
            tile=-(-tile_of(described) // multiple) * multiple,
            coarse_input=has_coarse_input(described),
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise or enlarge photos (N, planes, H, W) in [0, 1]."""
        h, w = photo.shape[-2:]
        photo = self.with_noise_level(photo)
        out = self.on_padded(pad_to_multiple(reflect_sides(photo, self.margin), self.padding, MIN_NETWORK_SIDE))
        border = self.spec.scale * self.margin
        return out[..., border:, border:][..., : self.spec.scale * h, : self.spec.scale * w]

    def with_noise_level(self, photo: Tensor) -> Tensor:
        """Return all planes of a photo; the noise level is measured where it is an input and missing."""
        if self.spec.noise_level and photo.shape[1] == self.spec.channels:
            return append_noise_level(photo, estimate_noise_level(photo))
        return photo

    def on_padded(self, photo: Tensor) -> Tensor:
        """Process all planes of a photo whose sides are multiples of `padding`, and at least `MIN_NETWORK_SIDE`."""
        out = self.network(photo)
        return F.avg_pool2d(out, self.shrink) if self.shrink > 1 else out


class SelfEnsemble(WrappedNetwork):
    """Average a network's results for a photo (N, C, h, w) over the first `count` orientations of `FLIPS_FIRST`."""

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__(network)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """Average the outputs over the orientations, (N, C, H, W)."""
        total = self.network(x)
        for orientation in FLIPS_FIRST[1 : self.count]:
            total = total + to_upright(self.network(orient(x, orientation)), orientation)
        return total / self.count


def refuse_noise_level(network: nn.Module) -> None:
    """Raise `UsageError` for a noise-conditional network, in methods that have no noise level to give it."""
    if is_noise_conditional(as_network(network)):
        raise UsageError("This method has no noise level for the network; add `network_args.noise_level=false`.")


def refuse_to_enlarge(task: Task) -> None:
    """Raise `ModelError` for any task but denoising."""
    if task is not Task.DENOISE:
        able = [info for info in shipped() if set(info.default_for) - {Task.DENOISE}]
        best = next((info.name for info in able if task in info.default_for), able[0].name) if able else "NAME"
        names = " and ".join(info.name for info in able)
        raise ModelError(f"This model has no '{task}'; of those that ship {names} enlarge; use `model={best}`.")

"""NSP, next-scale prediction (CVPR 2026): predict the next finer scale from a coarse, decorrelated sub-image.

Pairs
    Each s×s cell gives n targets of t×t pixels and s² − n·t² input pixels; input and target share no pixel
    (`ops.cells`, Fig. 3). The *canonical* pairs are ours: input ``I[p::2h, q::2h]``, target ``I[p::h, q::h]``, so that
    the input pixel is always the corner of its 2×2 target. The target thus contains the input; its noise is not copied,
    because the blind-spot network's 2×2 block for an input pixel does not depend on that pixel. NSP's own pairs are
    aligned only on average, which makes the mean of their predictions softer.
Loss
    L1 between the network's output for each input and each target of the same cells, mean over all.
Test time
    PD by t, the network on each of the t² sub-images, and the mean of the outputs; canonical sub-images are flipped
    first, so that their pixel becomes the corner, and back afterwards. `Task` lists the super-resolution modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods.base import Inputs, Pipeline, SelfSupervised, Stride, check_settings
from nsp_cli.methods.coarse_chroma import with_coarse_chroma
from nsp_cli.methods.preset_settings import NSP_SCHEDULE, PHOTOGRAPHER, Preset
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec, Task
from nsp_cli.networks import WITH_BLIND_SPOT, Network, as_network, grid_of, tile_of
from nsp_cli.networks.layers import Scale
from nsp_cli.ops.cells import Strategy, gather_cells, partition
from nsp_cli.ops.padding import cut_to_multiple, cut_to_size, pad_to_multiple
from nsp_cli.ops.pd import pd_merge, pd_split
from nsp_cli.system.arguments import Between, OneOf

CANONICAL = "canonical"
STRATEGIES = (*(str(strategy) for strategy in Strategy), CANONICAL)


@dataclass(frozen=True)
class NSP(SelfSupervised):
    """The method `nsp` trains by next-scale prediction, with NSP's own pairs or with canonical ones.

    Attributes
    ----------
    scale : int
        t, the factor from input to target; 2 for canonical pairs.
    stride : int
        s, the side in pixels of a cell of NSP's own pairs; canonical pairs do not use it.
    targets : int
        n, targets in a cell of NSP's own pairs; canonical pairs do not use it.
    strategy : str
        One of `STRATEGIES`: "canonical", or how a cell of NSP's own pairs is divided.
    inputs : int
        Inputs of a step among the s² − n·t² in a cell of NSP's own pairs, 0 for all of them; canonical pairs have one.
    canonical_grids : int
        Grids that are drawn in a step for canonical pairs; NSP's own do not use it.
    canonical_strides : tuple of int
        Values of h in pixels that canonical pairs draw from; NSP's own pairs do not use them.
    phase : int or None
        Sub-image that is predicted from at test time, of the t² ones (numbered as in `ops.pd`). None returns the mean
        of all predictions.
    coarse_chroma : bool
        Whether denoising takes the coarse part of the chroma from the photo at half its size, see `coarse_chroma`.
    """

    name: ClassVar[str] = "nsp"
    summary: ClassVar[str] = "predict the next finer scale of a noisy photo (NSP, CVPR 2026)"
    networks = WITH_BLIND_SPOT
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "a small network with a blind residual on canonical pairs: 30 photos, no GPU, half an hour",
            {
                "method_args": {
                    "strategy": CANONICAL,
                    "inputs": 1,
                    "canonical_strides": (3, 4),
                    "coarse_chroma": True,
                },
                "network": "dbsn",
                "network_args": {"width": 64, "depth": 5, "residual": True},
                "minutes": 30.0,
                "patch": 240,
            },
        ),
        "paper": Preset(
            "NSP as published: DBSN of 3.75 M parameters, 750 epochs of 400 steps; for a GPU",
            {
                **NSP_SCHEDULE,
                "method_args": {"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 0},
                "network_args": {"width": 128, "depth": 9, "residual": False},
            },
        ),
        "paper-tbsn": Preset(
            "NSP with TBSN of 12.8 M parameters as released, on values of 0 to 255; for a large GPU",
            {
                **NSP_SCHEDULE,
                "method_args": {"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 1},
                "network": "tbsn",
                "network_args": {"statistics": "photo", "value_range": 255.0},
                "batch": 4,
                "patch": 640,
                "lr": 3e-4,
            },
        ),
    }

    scale: Scale = 2
    stride: Stride = 5
    targets: Annotated[int, Between(1, 1024)] = 1
    strategy: Annotated[str, OneOf(STRATEGIES)] = "consecutive"
    inputs: Inputs = 0
    canonical_grids: Annotated[int, Between(1, 1024)] = 1
    canonical_strides: Annotated[tuple[Stride, ...], Between(1, 16)] = (2, 3)
    phase: int | None = None
    coarse_chroma: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.strategy == CANONICAL and self.scale != 2:
            raise UsageError(f"Canonical pairs need scale 2, got {self.scale}.")
        if self.strategy == CANONICAL and self.inputs > 1:
            raise UsageError(
                f"Canonical pairs have one input each; use `method_args.canonical_grids={self.inputs}`, not `inputs`."
            )
        if self.phase is not None and not 0 <= self.phase < self.scale**2:
            raise UsageError(f"A phase must be from 0 to {self.scale**2 - 1}, got {self.phase}.")
        object.__setattr__(self, "canonical_strides", tuple(self.canonical_strides))  # JSON gives a list

    @property
    def network_args(self) -> dict[str, int]:
        """Arguments that the method prescribes to its network."""
        return {"scale": self.scale}

    @property
    def inference_variants(self) -> tuple[Mapping[str, Any], ...]:
        """The settings with which each of the t² predictions is the result by itself."""
        return tuple({"phase": phase} for phase in range(self.scale**2))

    @property
    def smallest_patch(self) -> int:
        """The side of the smallest training patch in pixels: eight cells, and room to shift the canonical grid."""
        if self.strategy == CANONICAL:
            return 9 * 2 * max(self.canonical_strides)
        return 8 * self.stride

    def pairs(self, photos: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Make training pairs of noisy photos.

        Parameters
        ----------
        photos : Tensor
            (B, C, P, P) in [0, 1]; what is left of P over a multiple of the cell is cut off.

        Returns
        -------
        tuple[Tensor, Tensor]
            NSP's own pairs are inputs (B, m, C, h, w) and targets (B, n, C, t·h, t·w): each of the m inputs is paired
            with each of the n targets of its photo. Canonical pairs are inputs (m·B, 1, C, h, w) and targets (m·B, 1,
            C, 2·h, 2·w), m grids drawn for the whole batch, each with all photos: every input has one target.
        """
        if self.strategy == CANONICAL:
            return self._canonical_pairs(photos, generator)
        b, c, s, t = *photos.shape[:2], self.stride, self.scale
        h, w = photos.shape[2] // s, photos.shape[3] // s
        photos = photos[..., : h * s, : w * s]
        targets, inputs = partition((b, h, w), s, t, self.targets, Strategy(self.strategy), generator)
        if self.inputs:
            inputs = inputs[..., : self.inputs]
        patches = gather_cells(photos, s, targets.flatten(-2)).reshape(b * self.targets, t * t, c, h, w)
        return gather_cells(photos, s, inputs), pd_merge(patches, t).unflatten(0, (b, self.targets))

    def _canonical_pairs(self, photos: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Make canonical pairs, see `pairs`: each grid has a stride h and an origin below 2·h drawn at random."""

        def draw(below: int) -> int:
            return int(torch.randint(below, (), generator=generator, device=generator.device))

        step = self.canonical_strides[draw(len(self.canonical_strides))]
        cell = 2 * step
        h, w = photos.shape[2] // cell - 1, photos.shape[3] // cell - 1
        inputs: list[Tensor] = []
        targets: list[Tensor] = []
        for _ in range(self.canonical_grids):
            p, q = draw(cell), draw(cell)
            grid = photos[..., p : p + h * cell : step, q : q + w * cell : step]
            inputs.append(grid[..., ::2, ::2])
            targets.append(grid)
        return torch.cat(inputs).unsqueeze(1), torch.cat(targets).unsqueeze(1)

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the mean L1 loss of a batch of noisy photos (B, C, P, P) in [0, 1]."""
        inputs, targets = self.pairs(batch, generator)
        multiple = as_network(network).size_multiple
        inputs, targets = cut_to_multiple(inputs, multiple), cut_to_multiple(targets, multiple * self.scale)
        shape = inputs.shape[:2]
        inputs = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        outputs = network(inputs).unflatten(0, shape)
        return (outputs.unsqueeze(2) - targets.unsqueeze(1)).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export.

        Raises
        ------
        ModelError
            The network has another scale, or `phase` is set and the task enlarges.
        """
        pipeline = NSPPipeline(self, network, task, channels)
        return with_coarse_chroma(pipeline) if self.coarse_chroma else pipeline


class NSPPipeline(nn.Module):
    """(N, C, H, W) in [0, 1] → (N, C, H, W), or (N, C, t·H, t·W) for super-resolution; any H and W.

    `spec` describes how the engine cuts tiles, see `PipelineSpec`.
    """

    def __init__(self, settings: NSP, network: nn.Module, task: Task, channels: int) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.scale, self.phase = settings.scale, settings.phase
        if self.phase is not None and task is not Task.DENOISE:
            raise ModelError(f"One phase alone denoises and does not enlarge, so it has no '{task}'.")
        self.canonical = settings.strategy == CANONICAL
        described = as_network(network)
        if described.scale != settings.scale:
            raise ModelError(f"NSP with t = {settings.scale} needs a network of that scale, got {described.scale}.")
        self.padding = self.scale * described.size_multiple
        self.min_side = MIN_NETWORK_SIDE * self.scale
        self.spec = self._describe(described, channels)

    def _describe(self, network: Network, channels: int) -> PipelineSpec:
        """Return the tiling requirements of the task with a network."""
        t = self.scale
        split = 1 if self.task is Task.DIRECT else t
        multiple = t * grid_of(network)
        radius = network.receptive_field_radius * split
        if self.task is Task.SHUFFLE_DENOISE:  # a second pass with the same radius, in pixels of half the size
            radius += network.receptive_field_radius
        halo = max(radius + t, self.min_side)
        passes = {Task.DIRECT: t * t, Task.SHUFFLE_DENOISE: t * t}.get(self.task, 1)
        return PipelineSpec(
            task=str(self.task),
            scale=1 if self.task is Task.DENOISE else t,
            multiple=multiple,
            halo=-(-halo // multiple) * multiple,
            working_bytes=4 * network.activation_floats_per_pixel * passes,
            channels=channels,
            tile=-(-tile_of(network) * split // multiple) * multiple,
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise or enlarge photos (N, C, H, W) in [0, 1]."""
        h, w = photo.shape[-2:]
        out = self._run(pad_to_multiple(photo, self.padding, self.min_side))
        return cut_to_size(out, self.spec.scale * h, self.spec.scale * w)

    def _run(self, photo: Tensor) -> Tensor:
        """Run the task on a padded photo."""
        if self.phase is not None:
            return self._prediction(photo, self.phase)
        if self.task is Task.DENOISE:
            return self._predictions(photo).mean(1)
        if self.task is Task.DIRECT:
            return self._direct(photo)
        shuffled = pd_merge(self._predictions(photo), self.scale)
        return shuffled if self.task is Task.SHUFFLE else self._predictions(shuffled).mean(1)

    def _predictions(self, photo: Tensor) -> Tensor:
        """Predict the full-size photo from each sub-image, (N, t², C, H, W)."""
        n, t = photo.shape[0], self.scale
        if not self.canonical:
            subs = pd_split(photo, t).flatten(0, 1)
            return self.network(subs).unflatten(0, (n, t * t))
        corners = torch.cat([flipped[..., ::t, ::t] for flipped in _flips(photo)])
        return torch.stack(_unflip(self.network(corners), n), 1)

    def _prediction(self, photo: Tensor, phase: int) -> Tensor:
        """Predict the full-size photo from one sub-image, (N, C, H, W)."""
        t = self.scale
        if not self.canonical:
            return self.network(photo[..., phase // t :: t, phase % t :: t])
        return _flip(self.network(_flip(photo, phase)[..., ::t, ::t]), phase)

    def _direct(self, photo: Tensor) -> Tensor:
        """Enlarge by one pass over the whole photo, (N, C, t·H, t·W); canonical: the mean of four flipped passes."""
        if not self.canonical:
            return self.network(photo)
        # The input pixel is the corner of its output: the mean over flips puts it back in the middle.
        return torch.stack(_unflip(self.network(torch.cat(_flips(photo))), photo.shape[0]), 1).mean(1)


def _flips(photo: Tensor) -> list[Tensor]:
    """Flip the photo so that phase (a, b) of its 2×2 cells becomes phase (0, 0), for ab = 00, 01, 10, 11."""
    return [_flip(photo, phase) for phase in range(4)]


def _unflip(batch: Tensor, n: int) -> list[Tensor]:
    """Undo `_flips` on a batch (4·n, C, H, W), n photos in four flips; return the four parts."""
    return [_flip(part, phase) for phase, part in enumerate(batch.split(n))]


def _flip(photo: Tensor, phase: int) -> Tensor:
    """Bring a phase of the 2×2 cells to their corner, or back again."""
    sides = ((), (-1,), (-2,), (-2, -1))[phase]
    return photo.flip(sides) if sides else photo

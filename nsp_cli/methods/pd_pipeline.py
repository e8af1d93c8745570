"""PD, a network on each sub-image, and the photo put together again: what AP-BSN, SDAP and AMSNet have in common."""

from __future__ import annotations

from enum import StrEnum
from math import lcm

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.methods.base import refuse_noise_level, refuse_to_enlarge
from nsp_cli.model.spec import MIN_NETWORK_SIDE, PipelineSpec, Task
from nsp_cli.networks import Network, as_network, grid_of, tile_of
from nsp_cli.ops.masks import PERIOD, draw_patterns
from nsp_cli.ops.padding import (
    cut_to_multiple,
    cut_to_size,
    pad_to_multiple,
    reflect_sides,
    zero_pad_to_multiple,
)
from nsp_cli.ops.pd import from_mosaic, pd_merge, pd_split, to_mosaic
from nsp_cli.ops.refine import REPLACE_FRACTION, refine


class Layout(StrEnum):
    """How the sub-images of PD are arranged for the network."""

    BATCH = "batch"
    """Each sub-image as a picture of its own, with its own border; tiles then agree with the whole photo."""
    MOSAIC = "mosaic"
    """Side by side in one picture, as the released AP-BSN does: near a sub-image's border the receptive field has
    another's far side in it, so that a strip of that width along the photo's border differs in a tile."""


class PDPipeline(nn.Module):
    """PD, network, merge, and passes without PD: (N, C, H, W) in [0, 1] → the same, any H and W.

    Parameters
    ----------
    network : torch.nn.Module
        A network with t = 1, or a module that describes itself like one.
    stride : int
        PD stride.
    layout : Layout
        See `Layout`.
    passes : int
        Runs of the network without PD on the result, see `ops.refine`; 0 for none.
    replace_fraction : float
        Fraction of noisy pixels that each pass puts back: 0.16 in R3; 0 is a second pass over the result.
    masks_by_channel : bool
        Whether each channel has its own random pixels that are put back.
    pd_pad : int
        Zeros around each sub-image, in pixels.
    refine_pad : int
        Pixels by which each pass extends the photo by reflection on all four sides.
    zeros : bool
        Whether a photo whose sides do not divide is extended by zeros instead of reflection.
    period : int
        Period in pixels of the positions that `network` treats differently; 1 if it treats all alike.

    Raises
    ------
    ModelError
        The task, or the network, enlarges.
    """

    replaced: Tensor

    def __init__(
        self,
        network: nn.Module,
        stride: int,
        task: Task,
        channels: int,
        *,
        layout: Layout = Layout.BATCH,
        passes: int = 0,
        replace_fraction: float = REPLACE_FRACTION,
        masks_by_channel: bool = False,
        pd_pad: int = 0,
        refine_pad: int = 0,
        zeros: bool = False,
        period: int = 1,
    ) -> None:
        super().__init__()
        refuse_to_enlarge(task)
        self.network = network
        self.stride = stride
        self.layout = layout
        self.passes = passes
        self.pd_pad, self.refine_pad = pd_pad, refine_pad
        self.extend = zero_pad_to_multiple if zeros else pad_to_multiple
        patterns = (
            draw_patterns(passes, replace_fraction, channels=channels if masks_by_channel else 1) if passes else None
        )
        self.register_buffer("replaced", patterns, persistent=False)
        described = same_size(network)
        if 2 * pd_pad % described.size_multiple or 2 * refine_pad % described.size_multiple:
            raise ModelError(
                f"pd_pad and refine_pad must be 0 for a network of multiples of {described.size_multiple}."
            )
        self.padding = stride * described.size_multiple
        multiple = lcm(stride * grid_of(described), stride * period, PERIOD if passes else 1)
        halo = max(described.receptive_field_radius * (stride + bool(passes)), MIN_NETWORK_SIDE * stride)
        self.spec = PipelineSpec(
            task=str(task),
            scale=1,
            multiple=multiple,
            halo=-(-halo // multiple) * multiple,
            working_bytes=4 * described.activation_floats_per_pixel,
            channels=channels,
            tile=-(-tile_of(described) * stride // multiple) * multiple,
        )

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise photos (N, C, H, W) in [0, 1] on PD sub-images."""
        h, w = photo.shape[-2:]
        # Only as far as the sides must divide: more reflection would make pixels inputs of their own outputs.
        padded = self.extend(photo, self.padding, MIN_NETWORK_SIDE * self.stride)
        subs = run_on_subs(self.network, pd_split(padded, self.stride), self.stride, self.layout, self.pd_pad)
        result = pd_merge(subs, self.stride)
        if self.passes:
            result = refine(self._pass, padded, result, self.replaced)
        return cut_to_size(result, h, w)

    def _pass(self, photo: Tensor) -> Tensor:
        """Run the network without PD, (N, C, H, W) → the same."""
        return _without_border(self.network(reflect_sides(photo, self.refine_pad)), self.refine_pad)


def run_on_subs(network: nn.Module, subs: Tensor, stride: int, layout: Layout, pd_pad: int) -> Tensor:
    """Run a network on sub-images in a layout, with `pd_pad` zeros around each; (N, s², C, h, w) → the same."""
    padded = F.pad(subs, (pd_pad,) * 4) if pd_pad else subs
    if layout is Layout.MOSAIC:
        result = from_mosaic(network(to_mosaic(padded, stride)), stride)
    else:
        result = network(padded.flatten(0, 1)).unflatten(0, subs.shape[:2])
    return _without_border(result, pd_pad)


def _without_border(x: Tensor, border: int) -> Tensor:
    return x[..., border:-border, border:-border] if border else x


def same_size(network: nn.Module) -> Network:
    """Check that a network has scale 1 and no noise level, and return it as `Network`.

    Raises
    ------
    ModelError, UsageError
        It enlarges, or is noise-conditional.
    """
    refuse_noise_level(network)
    described = as_network(network)
    if described.scale != 1:
        raise ModelError(f"This method needs a network with scale 1, got scale {described.scale}.")
    return described


def draw_subs(photos: Tensor, stride: int, count: int, generator: Generator) -> Tensor:
    """Draw `count` of each photo's sub-images, the same phases of all, or take all where it is 0.

    (B, C, P, P) → (B·count, C, P/s, P/s). What is left of P over a multiple of s is cut off.
    """
    subs = pd_split(cut_to_multiple(photos, stride), stride)
    if count:
        phases = torch.randperm(stride * stride, generator=generator, device=generator.device)[:count]
        subs = subs.index_select(1, phases)
    return subs.flatten(0, 1).contiguous(memory_format=torch.channels_last)

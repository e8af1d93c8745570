"""Convert regions of a photo to a network's input, and the network's output to pixels. Imports no framework."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.blending import Blend, scale_change
from nsp_cli.engine.tiling import Region
from nsp_cli.errors import InputError, OutputError
from nsp_cli.image.colour import SRGB_LIMITS, Space
from nsp_cli.image.frame import Frame, Pixels
from nsp_cli.model.spec import PipelineSpec

_EVEN_SIDE = 9
"""Side of the square of pixels that must have one value for its centre to be taken for a part of an even area."""

_Values = NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """A region of the photo with its halo.

    Attributes
    ----------
    region, outer : Region
        The region that the result is used for, and the same with its halo.
    clean : ndarray
        (h, w, C) float32, the network's input in the photo's own colours.
    clipped : ndarray
        (h, w, C) float32, `clean` in sRGB encoding, clipped.
    photo : ndarray
        (h, w, C) float32, the pixels that the change is added to, in the photo's own colours.
    working : ndarray
        (h, w, C) float32, `photo` in sRGB encoding, not clipped.
    planes : ndarray or None
        (1, planes, h, w) float32, the network's input; None where the blend changes nothing.
    """

    region: Region
    outer: Region
    clean: _Values
    clipped: _Values
    photo: _Values
    working: _Values
    planes: _Values | None


@dataclass(frozen=True)
class Converter:
    """Converts one photo to tiles, and the results for the tiles to pixels.

    Attributes
    ----------
    frame : Frame
        The photo that the network runs on.
    spec : PipelineSpec
        Description of the network's pipeline.
    blend : Blend
        Strengths of the change.
    space : Space or None
        The photo's colours; None for sRGB.
    noise : float or None
        The noise level that is an input of the network, white = 255; None for a network without that input.
    base : Frame or None
        The photo that the change is added to; None if that is `frame`.
    limits : tuple of float, optional
        Lowest and highest value of the network's input; None for those of the photo's colours.
    coarse : Frame, optional
        The result (⌈H/2⌉, ⌈W/2⌉, C) at half the photo's size, see `half_size`.
    """

    frame: Frame
    spec: PipelineSpec
    blend: Blend
    space: Space | None
    noise: float | None
    base: Frame | None = None
    limits: tuple[float, float] | None = None
    coarse: Frame | None = None

    @cached_property
    def input_limits(self) -> tuple[float, float]:
        """Lowest and highest value of the network's input."""
        if self.limits is not None:
            return self.limits
        lowest, highest = SRGB_LIMITS if self.space is None else self.space.limits
        signed = self.frame.below_black is not None or self.frame.linear_raw is not None
        return -highest if signed else lowest, highest

    def prepare(self, tile: Region, region: Region | None = None) -> Tile:
        """Convert a tile with its halo.

        Parameters
        ----------
        tile : Region
            The tile without its halo.
        region : Region, optional
            The region that the result is used for, where that is more than the tile.
        """
        outer = tile.with_halo(self.spec.halo, *self.frame.size)
        region = region or tile
        clean = self.frame.unit_values(*outer.slices)
        if self.blend.is_identity(clean.shape[2]):
            return Tile(region, outer, clean, clean, clean, clean, None)
        working, clipped = self._encoded(clean)
        planes = np.empty((1, self.spec.planes, *clean.shape[:2]), np.float32)
        planes[0, : self.spec.channels] = clipped.transpose(2, 0, 1)  # of a grey photo the same in each channel
        if self.noise is not None:
            planes[0, self.spec.channels] = self.noise / 255
        if self.coarse is not None and self.spec.coarse_input:
            planes[0, -self.spec.channels :] = _repeated(self.coarse, outer).transpose(2, 0, 1)
        photo = clean if self.base is None else self.base.unit_values(*outer.slices)
        if photo is not clean and not np.array_equal(photo, clean):
            working = photo if self.space is None else self.space.to_srgb(photo)
        return Tile(region, outer, clean, clipped, photo, working, planes)

    def network_input(self, region: Region) -> _Values:
        """Return a region (h, w, C) of the photo in sRGB encoding, clipped."""
        return self._encoded(self.frame.unit_values(*region.slices))[1]

    def _encoded(self, values: _Values) -> tuple[_Values, _Values]:
        """Convert values (h, w, C) of the photo to sRGB encoding; return them, and the same clipped."""
        working = values if self.space is None else self.space.to_srgb(values)
        is_integer = self.frame.pixels.dtype.kind == "u"
        # Values of an integer photo in sRGB are within the limits.
        is_within = is_integer and self.space is None and self.frame.below_black is None
        return working, working if is_within else np.clip(working, *self.input_limits)

    def finish(self, tile: Tile, output: _Values | None, region: Region | None = None) -> _Values:
        """Return the result for `region`, (h·scale, w·scale, C).

        Parameters
        ----------
        tile : Tile
            The tile that `prepare` returned.
        output : ndarray or None
            The network's output for it, (1, C, h·scale, w·scale); None if nothing is changed.
        region : Region, optional
            A part of `tile.region`, None for all of it.

        Raises
        ------
        OutputError
            The output has values that are not finite.
        InputError
            The photo has such values.
        """
        scale = self.spec.scale
        inner = (region or tile.region).inside(tile.outer).scaled(scale).slices
        if output is None:
            return enlarge(tile.photo, scale)[inner].astype(np.float32, copy=False)
        result = output[0].transpose(1, 2, 0)[inner]
        if not np.isfinite(result).all():
            if not np.isfinite(tile.clean).all():
                raise InputError("The photo has values that are NaN or infinite; replace them, as by np.nan_to_num.")
            raise OutputError(
                "The model's result holds values that are not finite: its weights are damaged, or its precision is too "
                "low (try fp32)."
            )
        base = enlarge(tile.working, scale)[inner].astype(np.float32, copy=False)
        same = tile.clipped is tile.working
        clipped = base if same else enlarge(tile.clipped, scale)[inner].astype(np.float32, copy=False)
        # The change is what is scaled and added, so that highlights above white in a float photo stay where they are.
        change = result - clipped
        if change.shape[2] > tile.photo.shape[2]:
            change = change.mean(2, keepdims=True)
        if scale > 1:  # an even area stays even: networks that enlarge draw a faint grid in it
            change[_is_even(tile.clean).repeat(scale, 0).repeat(scale, 1)[inner]] = 0
        changed = base + scale_change(change, self.blend)
        if self.space is None:
            return changed
        near = enlarge(tile.photo, scale)[inner].astype(np.float32, copy=False)
        # Again the change alone: an unchanged pixel comes back bit for bit, whatever the conversion rounds.
        return self.space.restore(changed, near, base if scale == 1 else None)


def _repeated(half: Frame, region: Region) -> _Values:
    """Return a region of a photo whose pixels are those of the photo at half its size, repeated; even top and left."""
    rows, columns = ((a // 2, -(-b // 2)) for a, b in ((region.top, region.bottom), (region.left, region.right)))
    part = half.unit_values(slice(*rows), slice(*columns))
    repeated = part.repeat(2, 0).repeat(2, 1)
    return repeated[: region.bottom - region.top, : region.right - region.left]


def enlarge(pixels: Pixels, scale: int) -> Pixels:
    """Enlarge (H, W) or (H, W, C) of any depth by bicubic interpolation."""
    if scale == 1:
        return pixels
    import cv2

    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return large.reshape(*large.shape[:2], *pixels.shape[2:]).astype(pixels.dtype, copy=False)


def _is_even(pixels: _Values) -> NDArray[np.bool_]:
    """Return (H, W): whether a pixel of (H, W, C) and all around it have exactly the same value, as in a drawing."""
    import cv2

    window = np.ones((_EVEN_SIDE, _EVEN_SIDE), np.uint8)
    same = cv2.dilate(pixels, window) == cv2.erode(pixels, window)
    return same if same.ndim == 2 else same.all(2)

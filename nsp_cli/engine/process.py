"""Frame → tiles → backend → Frame. Imports no framework: a backend is anything that maps an array to an array.

The pixels stay in the photo's own depth and become float32 one tile at a time, so a 100-megapixel photo needs its
input, its output and one tile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Blend, scale_change
from nsp_cli.engine.shadows import keep_shadows
from nsp_cli.engine.tiling import Region, choose_tile, fade, least_tile, round_tile, smallest_tile
from nsp_cli.errors import MemoryLimitError, OutputError, UsageError
from nsp_cli.image.alpha import fill_hidden, hidden
from nsp_cli.image.colour import SRGB_LIMITS, ColourSpace, colour_space
from nsp_cli.image.frame import Frame, Pixels, from_unit
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.noise.estimate import luma_level


def process(
    frame: Frame,
    backend: Backend,
    blend: Blend = Blend(),  # noqa: B008 (frozen)
    *,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Frame:
    """Denoise or enlarge a photo, and keep everything else of it.

    The network sees sRGB; a photo in other colours is converted by its profile, and the change converted back. Where
    the profile's gamut is wider the network sees values beyond [0, 1]: clipped, their noise would stay, and come back
    larger from the other channels. What makes a profile unusable is named in the result's `warnings`. Colours under an
    alpha of 0 have no influence on the visible ones, and stay as they are unless the pipeline enlarges.

    Parameters
    ----------
    blend : how much of the change, and the photo's noise level; strength 0 gives the input back bit for bit (by bicubic
        interpolation where the pipeline enlarges), and so do luma 0 and chroma 0 together
    tile : side of a tile in pixels, 0 to choose from the free memory, or what the pipeline itself prescribes
    report : called with the fraction of the photo that is done, 0 … 1

    Raises
    ------
    UsageError : the tile is out of range
    MemoryLimitError : not even the smallest tile fits
    OutputError : the model gives values that are not finite
    """
    if tile < 0:
        raise UsageError(f"`tile` must be 0 (automatic) or a number of pixels, got {tile}.")
    scale = backend.spec.scale
    if blend.is_identity(frame.pixels.shape[2]) and scale == 1:
        return frame
    height, width = frame.size
    space, unused = colour_space(frame.metadata, frame.pixels.shape[2])
    frame = replace(frame, warnings=(*frame.warnings, *unused))
    out = np.empty((height * scale, width * scale, frame.pixels.shape[2]), frame.pixels.dtype)
    side = round_tile(tile, backend.spec) if tile else choose_tile(backend.spec, backend.free_bytes())
    if side < (least := least_tile(backend.spec)) and not backend.spec.tile:
        sentence = f"A tile of {tile} pixels would be nearly all halo; tiles of {least} pixels are used."
        frame, side = replace(frame, warnings=(*frame.warnings, sentence)), least
    noise = blend.noise_level if backend.spec.noise_level else None
    if (
        noise is None and backend.spec.noise_level and not blend.is_identity(frame.pixels.shape[2])
    ):  # the same in every tile
        noise = luma_level(frame.pixels, space and space.to_srgb)

    seen = fill_hidden(frame)

    def run(region: Region, outer: Region) -> NDArray[np.float32]:
        return _run_region(seen, backend, region, outer, blend, space, noise)

    fill = _fill_faded if backend.spec.tile else _fill
    fill(out, run, frame.size, side, backend.spec, report)
    keep_shadows(frame, out)
    alpha = None if frame.alpha is None or scale == 1 else _enlarge(frame.alpha, scale)
    if scale == 1 and (unseen := hidden(frame)) is not None:
        out[unseen] = frame.pixels[unseen]
    return frame.with_pixels(out, alpha)


_EVEN_SIDE = 9
"""Side of the square of pixels that must have one value for its centre to be taken for a part of an even area."""

_Run = Callable[[Region, Region], NDArray[np.float32]]
"""The result for a region, when the network sees a larger one around it."""


def _fill(
    out: Pixels, run: _Run, size: tuple[int, int], side: int, spec: PipelineSpec, report: Callable[[float], None]
) -> None:
    """Tile by tile, smaller ones when the memory runs out."""
    height, width = size
    waiting = deque(Region(0, 0, height, width).split(side))
    done = 0
    while waiting:
        region = waiting.popleft()
        if max(region.bottom - region.top, region.right - region.left) > side:
            waiting.extendleft(reversed(list(region.split(side))))
            continue
        try:
            result = run(region, region.with_halo(spec.halo, height, width))
        except MemoryLimitError:
            side = _halved(side, region, spec)
            waiting.appendleft(region)
            continue
        out[region.scaled(spec.scale).slices] = from_unit(result, out.dtype)
        done += (region.bottom - region.top) * (region.right - region.left)
        report(done / (height * width))


def _fill_faded(
    out: Pixels, run: _Run, size: tuple[int, int], side: int, spec: PipelineSpec, report: Callable[[float], None]
) -> None:
    """Row by row of tiles that depend on what else is in them: faded into each other, they leave no seam.

    They overlap by half of the halo on each side. Another size would be another result, so a tile that does not fit
    into the memory stays a `MemoryLimitError`.
    """
    (height, width), scale = size, spec.scale
    overlap = min(spec.halo, side) // 2
    left_over = np.zeros((0, width * scale, out.shape[2]), np.float32)
    for row in Region(0, 0, height, 1).split(side):
        rows = row.with_halo(overlap, height, 1)
        band = np.zeros(((rows.bottom - rows.top) * scale, *left_over.shape[1:]), np.float32)
        band[: len(left_over)] = left_over
        down = fade(row.top * scale, row.bottom * scale, height * scale, overlap * scale)
        for tile in Region(row.top, 0, row.bottom, width).split(side):
            wide = tile.with_halo(overlap, height, width)
            across = fade(tile.left * scale, tile.right * scale, width * scale, overlap * scale)
            weights = (down[:, None] * across)[..., None]
            band[:, wide.scaled(scale).slices[1]] += weights * run(wide, tile.with_halo(spec.halo, height, width))
            report((tile.top * width + (tile.bottom - tile.top) * tile.right) / (height * width))
        done = row.bottom if row.bottom == height else row.bottom - overlap
        out[rows.top * scale : done * scale] = from_unit(band[: (done - rows.top) * scale], out.dtype)
        left_over = band[(done - rows.top) * scale :]


def _halved(side: int, region: Region, spec: PipelineSpec) -> int:
    side = round_tile(min(side, max(region.bottom - region.top, region.right - region.left)) // 2, spec)
    if side < smallest_tile(spec):
        raise MemoryLimitError("There is not enough free memory for even the smallest tile; close other programs.")
    return side


def _run_region(
    frame: Frame,
    backend: Backend,
    region: Region,
    outer: Region,
    blend: Blend,
    space: ColourSpace | None,
    noise: float | None,
) -> NDArray[np.float32]:
    """Compute the result for one region, (h·scale, w·scale, C) float32."""
    spec = backend.spec
    photo = frame.unit_values(*outer.slices)
    if blend.is_identity(frame.pixels.shape[2]):  # the network would run for nothing
        inner = region.inside(outer).scaled(spec.scale).slices
        return _enlarge(photo, spec.scale)[inner].astype(np.float32, copy=False)
    working = photo if space is None else space.to_srgb(photo)
    inner = region.inside(outer).scaled(spec.scale).slices
    lowest, highest = SRGB_LIMITS if space is None else space.limits
    if frame.below_black is not None or frame.linear_raw is not None:
        lowest = -highest
    tile = np.clip(working, lowest, highest).transpose(2, 0, 1)[None]
    grey = tile.shape[1] < spec.channels
    network_in = np.repeat(tile, spec.channels, 1) if grey else tile
    if noise is not None:
        plane = np.full((1, 1, *tile.shape[2:]), noise / 255, np.float32)
        network_in = np.concatenate([network_in, plane], 1)
    result = backend.run(np.ascontiguousarray(network_in))[0].transpose(1, 2, 0)[inner]
    if not np.isfinite(result).all():
        raise OutputError(
            "The model's result holds values that are not finite, so nothing was written: its weights are damaged, or "
            "its precision is too low (try fp32)."
        )
    base, clipped = (
        _enlarge(a, spec.scale)[inner].astype(np.float32, copy=False) for a in (working, tile[0].transpose(1, 2, 0))
    )
    # The change is what is scaled and added, so that highlights above white in a float photo stay where they are.
    change = result - clipped
    if grey:
        change = change.mean(2, keepdims=True)
    if spec.scale > 1:  # an even area stays even: networks that enlarge draw a faint grid in it
        change[_enlarge_mask(_is_even(photo), spec.scale)[inner]] = 0
    changed = base + scale_change(change, blend)
    if space is None:
        return changed
    back = space.from_srgb(changed)
    # Again the change alone: an unchanged pixel comes back bit for bit, whatever the conversion rounds.
    return (photo[inner] + (back - space.from_srgb(base))).astype(np.float32) if spec.scale == 1 else back


def _is_even(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W, C) to (H, W): whether a pixel and all around it have exactly the same value, as in a drawing."""
    import cv2

    window = np.ones((_EVEN_SIDE, _EVEN_SIDE), np.uint8)
    same = cv2.dilate(pixels, window) == cv2.erode(pixels, window)
    return same if same.ndim == 2 else same.all(2)


def _enlarge_mask(mask: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    return mask.repeat(scale, 0).repeat(scale, 1)


def _enlarge(pixels: Pixels, scale: int) -> Pixels:
    """Bicubic interpolation of (H, W) or (H, W, C), any depth."""
    if scale == 1:
        return pixels
    import cv2

    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return large.reshape(*large.shape[:2], *pixels.shape[2:]).astype(pixels.dtype, copy=False)

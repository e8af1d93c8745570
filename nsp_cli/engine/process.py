"""Frame → tiles → backend → Frame. Imports no framework: a backend is anything that maps an array to an array.

The pixels stay in the photo's own depth and become float32 one tile at a time, so a 100-megapixel photo needs its
input, its output and one tile; some models also the photo at half its size and its result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from nsp_cli.engine.backends.base import Backend, half_size_backend, release
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.coarse_chroma import with_coarse_chroma
from nsp_cli.engine.conversion import Converter, Tile, enlarge
from nsp_cli.engine.half_size import at_half_size, empty_half, has_coarse_chroma, needs_half_size
from nsp_cli.engine.hot_pixels import fade_hot_pixels, without_hot_pixels
from nsp_cli.engine.shadows import keep_shadows
from nsp_cli.engine.tiling import Region, fade, min_split_side, round_tile, tile_side
from nsp_cli.errors import MemoryLimitError
from nsp_cli.image.alpha import fill_hidden, hidden
from nsp_cli.image.colour import Space, colour_space
from nsp_cli.image.frame import Frame, Pixels, from_unit
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.noise.estimate import noise_level

_PART_FOR_CHROMA, _PART_FOR_INPUT = 0.2, 0.4
"""Fraction of the time that the photo at half its size takes, for coarse chroma and as an input of the network."""


def process(
    frame: Frame,
    backend: Backend,
    blend: Blend = Blend(),  # noqa: B008 (frozen)
    *,
    tile: int = 0,
    report: Callable[[float], None] = lambda _: None,
) -> Frame:
    """Denoise or enlarge a photo, and keep its metadata and alpha.

    The network's input is sRGB: a photo in other colours is converted by its profile, and the change is converted back.
    Values beyond [0, 1] are not clipped, since their noise would stay. Colours under an alpha of 0 do not influence
    visible ones, and stay unless the pipeline enlarges. The removal of hot pixels is scaled by the blend like every
    other change.

    Parameters
    ----------
    frame : Frame
        Pixels (H, W, C) of uint8, uint16 or float32, C = 1 or 3.
    backend : Backend
        An opened model, see `loading.load_backend`.
    blend : Blend
        Strengths and noise level. With strength 0 the pixels stay (bicubic interpolation where the pipeline enlarges).
    tile : int
        Side of a tile in pixels. 0 is the side that the pipeline prescribes, or else one that fits the free memory. At
        half the photo's size tiles have this side, too, or the least that the halo there allows.
    report : callable
        Called with the fraction of the photo that is done, 0 to 1.

    Returns
    -------
    Frame
        Pixels (scale · H, scale · W, C) of the photo's dtype. A profile that cannot be used is named in `warnings`.

    Raises
    ------
    UsageError
        The tile is out of range.
    MemoryLimitError
        Not even the smallest tile fits into memory.
    InputError, OutputError
        The photo, or what the model returns, has values that are not finite.
    """
    spec, (height, width, channels) = backend.spec, frame.pixels.shape
    side, warning = tile_side(tile, spec, backend.free_bytes())
    unchanged = blend.is_identity(channels)
    if unchanged and spec.scale == 1:
        report(1.0)
        return frame
    space, unused = colour_space(frame.metadata, channels)
    with ThreadPoolExecutor(1, "nsp-noise") as thread:
        level = None if unchanged or not spec.noise_level else thread.submit(_noise_level, frame, blend, space)
        clean = frame if unchanged else without_hot_pixels(frame)
        noise, doubts = (None, ()) if level is None else level.result()
    faded = fade_hot_pixels(frame, clean, blend)
    base = None if faded is clean else fill_hidden(faded)
    converter = Converter(fill_hidden(clean), spec, blend, space, noise, base)
    out = np.empty((height * spec.scale, width * spec.scale, channels), frame.pixels.dtype)
    fill = _fill_faded if spec.tile else partial(_fill, evenly=not tile)
    if needs_half_size(converter):
        part = _PART_FOR_INPUT if spec.coarse_input else _PART_FOR_CHROMA
        converter = _with_coarse_result(converter, half_size_backend(backend), fill, tile, _part_of(report, 0, part))
        report = _part_of(report, part, 1)
    fill(out, backend, converter, side, report)
    keep_shadows(clean, out)
    return _with_pixels(frame, out, spec.scale, (*unused, *([warning] if warning else []), *doubts))


def _with_coarse_result(
    converter: Converter, half: Backend, fill: Callable[..., None], tile: int, report: Callable[[float], None]
) -> Converter:
    """Denoise the photo at half its size with a backend; one that is not used again frees its memory for tiles."""
    coarse = empty_half(converter)
    side, _ = tile_side(tile, half.spec, half.free_bytes())
    fill(coarse, half, at_half_size(converter, half.spec), side, report)
    if converter.spec.coarse_input:
        release(half)
    return replace(converter, coarse=Frame(coarse))


def _part_of(report: Callable[[float], None], start: float, stop: float) -> Callable[[float], None]:
    """Return a function that reports a fraction of the part from `start` to `stop` as a fraction of the whole."""
    return lambda done: report(start + (stop - start) * done)


def _noise_level(frame: Frame, blend: Blend, space: Space | None) -> tuple[float, tuple[str, ...]]:
    """Return the noise level that is an input of the network, the same in every tile, and a warning if it is in doubt.

    It is in units of 1/255: that of `blend`, or else measured on the photo.
    """
    if blend.noise is not None:
        return blend.noise, ()
    measured = noise_level(frame.pixels, space and space.to_srgb)
    if not measured.may_be_texture:
        return measured.trusted_luma, ()
    doubt = (
        f"Luma noise of {measured.luma:.1f} of 255 stands alone (chroma {measured.chroma:.1f}) and may be fine "
        f"texture: it is taken for {measured.trusted_luma:.1f}; `noise={measured.luma:.0f}` removes it."
    )
    return measured.trusted_luma, (doubt,)


def _with_pixels(frame: Frame, out: Pixels, scale: int, warnings: Iterable[str]) -> Frame:
    """Return the photo with the pixels of its result and further warnings.

    Without enlargement, colours under an alpha of 0 stay.
    """
    alpha = None if frame.alpha is None or scale == 1 else enlarge(frame.alpha, scale)
    if scale == 1 and (unseen := hidden(frame)) is not None:
        out[unseen] = frame.pixels[unseen]
    return replace(frame.with_pixels(out, alpha), warnings=(*frame.warnings, *warnings))


_ROWS = 32  # of a tile that are converted at once: what they need then stays in the processor's cache


def _fill(
    out: Pixels,
    backend: Backend,
    converter: Converter,
    side: int,
    report: Callable[[float], None],
    *,
    evenly: bool,
) -> None:
    """Process tile by tile, with smaller tiles when the memory runs out.

    Tiles are squares of `side` pixels, or with `evenly` of about the same size, see `Region.split_evenly`.
    While the backend runs on one tile, other threads convert the tiles before and after it.
    """
    (height, width), spec = converter.frame.size, backend.spec
    whole = Region(0, 0, height, width)
    waiting = deque(whole.split_evenly(side, spec.halo, spec.multiple) if evenly else whole.split(side))
    done = 0
    ahead: Future[Tile] | None = None
    behind: Future[None] | None = None

    def finish(tile: Tile, output: NDArray[np.float32] | None) -> None:
        output = _completed(output, converter, tile)
        parts = tile.region.split(_ROWS, width) if spec.scale == 1 else [tile.region]
        for part in parts:
            out[part.scaled(spec.scale).slices] = from_unit(converter.finish(tile, output, part), out.dtype)

    with ThreadPoolExecutor(2, "nsp-tile") as threads:
        while waiting:
            region = waiting.popleft()
            tile = converter.prepare(region) if ahead is None else ahead.result()
            ahead = threads.submit(converter.prepare, waiting[0]) if waiting else None
            try:
                output = _run(backend, tile)
            except MemoryLimitError:
                side, ahead = _halved(region, spec), None
                waiting = deque(part for larger in (region, *waiting) for part in larger.split(side))
                continue
            if behind is not None:
                behind.result()
            behind = threads.submit(finish, tile, output)
            done += (region.bottom - region.top) * (region.right - region.left)
            report(done / (height * width))
        if behind is not None:
            behind.result()


def _run(backend: Backend, tile: Tile) -> NDArray[np.float32] | None:
    return None if tile.planes is None else backend.run(tile.planes)


def _completed(output: NDArray[np.float32] | None, converter: Converter, tile: Tile) -> NDArray[np.float32] | None:
    """Return a network's output with the coarse chroma, if the converter has one."""
    if output is None or converter.coarse is None or not has_coarse_chroma(converter):
        return output
    return with_coarse_chroma(output, converter.coarse, tile.outer, converter.spec.blotch)


def _fill_faded(
    out: Pixels, backend: Backend, converter: Converter, side: int, report: Callable[[float], None]
) -> None:
    """Process rows of tiles whose results depend on the whole tile, with cross-fades at their borders.

    They overlap by half of the halo on each side. Another size would be another result, so a tile that does not fit
    into the memory stays a `MemoryLimitError`.
    """
    (height, width), spec = converter.frame.size, backend.spec
    scale = spec.scale
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
            prepared = converter.prepare(tile, wide)
            result = converter.finish(prepared, _completed(_run(backend, prepared), converter, prepared))
            band[:, wide.scaled(scale).slices[1]] += weights * result
            report((tile.top * width + (tile.bottom - tile.top) * tile.right) / (height * width))
        done = row.bottom if row.bottom == height else row.bottom - overlap
        out[rows.top * scale : done * scale] = from_unit(band[: (done - rows.top) * scale], out.dtype)
        left_over = band[(done - rows.top) * scale :]


def _halved(region: Region, spec: PipelineSpec) -> int:
    side = round_tile(region.longest // 2, spec)
    if side < min_split_side(spec):
        raise MemoryLimitError("There is not enough free memory for even the smallest tile; close other programs.")
    return side

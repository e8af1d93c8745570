"""Refuse results whose colours or borders are not those of the photo.

A denoiser keeps the mean of a flat area, and so does one that enlarges. The mean of noise differs in light and in
encoded values, because the sRGB curve bends it; models keep the one, or the other, or something between them. A shift
is what goes beyond both. Cells that are clipped at black or white are left out: clipping shifts the mean of noise.
Cameras clip noise at black before they brighten a photo, too, which cannot be detected in it: so a shift may be as
large as the standard deviation of the noise that was removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import OutputError
from nsp_cli.image.frame import Pixels, to_unit
from nsp_cli.image.metadata.icc import SRGB_CURVE

Values = NDArray[np.float32]
Convert = Callable[[Values], Values]

SHIFT_BOUND = 3.0 / 255  # sRGB; benchmarks/fidelity.py compares it with the models that ship
BORDER_BOUND = 8.0 / 255  # sRGB; strips along the border are compared whatever detail they have
_CELL = 16  # pixels: means are taken over squares of this side
_CELLS = 2048  # at most, evenly spread over a photo of any size
_BORDER = 4  # pixels: the width of the strip along each side
_FLAT_FRACTION = 0.25  # of the cells, those with the least detail
_MIN_CELLS = 8  # cells: with fewer nothing is refused
_CLIPPED = 0.02  # fraction of a cell's values at black or white
_EDGE = 0.5 / 255  # distance from black and white
_STANDARD_ERRORS = 2.0  # of a mean: a shift within them may be chance
_FLAT = "in flat areas"
_SIDES = ("top", "bottom", "left", "right")


def check_fidelity(photo: Pixels, result: Pixels, to_srgb: Convert | None = None) -> None:
    """Compare a result with its photo in flat areas and along the border.

    Parameters
    ----------
    photo : Pixels
        (H, W, C) of any depth.
    result : Pixels
        (H·scale, W·scale, C) of any depth.
    to_srgb : Convert, optional
        Converts (…, C) values, white = 1, to sRGB encoding, see `image.colour.conversion`; None for sRGB.

    Raises
    ------
    OutputError
        The result has another shape or values that are not finite, or the mean of a channel is shifted by more than
        `SHIFT_BOUND` in flat areas or `BORDER_BOUND` along a side, and by more than the noise that was removed there.
    """
    if not np.isfinite([result.min(), result.max()]).all():
        raise OutputError("The result holds values that are not finite, so nothing was written.")
    for where, shift in shifts(photo, result, to_srgb).items():
        if excess := shift.above(SHIFT_BOUND if where == _FLAT else BORDER_BOUND):
            raise OutputError(
                f"The model shifts a colour of the photo by {255 * excess:.1f} of 255 {where}, so nothing was written; "
                "use another model or a lower `strength`, or switch off this check (`check_fidelity`)."
            )


@dataclass(frozen=True)
class Shift:
    """Shift of the mean of each channel, (C,), white = 1.

    Attributes
    ----------
    mean : Values
        Less what may be chance; 0 where it cannot be measured.
    removed : Values
        Standard deviation of the change within a cell.
    """

    mean: Values
    removed: Values

    def above(self, bound: float) -> float:
        """Return the largest shift of those that are larger than both `bound` and the noise that was removed, or 0."""
        sizes = np.abs(self.mean)
        return float(np.where(sizes > np.maximum(self.removed, bound), sizes, 0).max())


def shifts(photo: Pixels, result: Pixels, to_srgb: Convert | None = None) -> dict[str, Shift]:
    """Measure the shift in flat areas, and along each side. For the parameters see `check_fidelity`."""
    scale = len(result) // len(photo)
    if result.shape != (len(photo) * scale, photo.shape[1] * scale, photo.shape[2]):
        raise OutputError(f"The result has the shape {result.shape}, which does not fit the photo's {photo.shape}.")
    step = max(_CELL, int(np.ceil(np.sqrt(photo.shape[0] * photo.shape[1] / _CELLS))))
    pairs = zip(_SIDES, _sides(photo, 1), _sides(result, scale), strict=True)
    return {
        _FLAT: _shift(_cells(photo, _CELL, step), _cells(result, _CELL * scale, step * scale), to_srgb),
        **{f"along its {name} border": _shift(before, after, to_srgb) for name, before, after in pairs},
    }


def _shift(before: Pixels, after: Pixels, to_srgb: Convert | None) -> Shift:
    """Measure the shift in the flattest cells.

    Parameters
    ----------
    before, after : Pixels
        (N, h, w, C) and (N, h·scale, w·scale, C) of any depth.
    """
    values, changed = _srgb(before, to_srgb), _srgb(after, to_srgb)
    clipped = ((values <= _EDGE) | (values >= 1 - _EDGE)).mean((1, 2)).max(1) > _CLIPPED
    usable = np.flatnonzero(~clipped)
    if len(usable) < _MIN_CELLS:
        return Shift(*np.zeros((2, before.shape[3]), np.float32))
    flat = usable[np.argsort(_roughness(values[usable]))][: max(int(_FLAT_FRACTION * len(usable)), _MIN_CELLS)]
    values, changed = values[flat], changed[flat]
    encoded = changed.mean((1, 2)) - values.mean((1, 2))
    light = SRGB_CURVE.from_linear(_light(changed)) - SRGB_CURVE.from_linear(_light(values))
    one, other = _beyond_doubt(encoded), _beyond_doubt(light)
    mean = np.where(one * other > 0, np.where(np.abs(one) < np.abs(other), one, other), 0)
    _, height, width, channels = values.shape
    scale = changed.shape[1] // height
    removed = changed.reshape(-1, height, scale, width, scale, channels).mean((2, 4)) - values
    return Shift(mean, removed.std((1, 2)).mean(0))


def _beyond_doubt(changes: Values) -> Values:
    """Return the mean of (N, C) changes, less the part that may be chance."""
    mean, error = changes.mean(0), changes.std(0) / np.sqrt(len(changes))
    return np.sign(mean) * np.maximum(np.abs(mean) - _STANDARD_ERRORS * error, 0)


def _light(cells: Values) -> Values:
    return SRGB_CURVE.to_linear(cells).mean((1, 2))


def _roughness(cells: Values) -> Values:
    """Return the standard deviation of the means of squares of 4×4 pixels, averaged over channels: (N,)."""
    count, height, width, channels = cells.shape
    means = cells.reshape(count, height // 4, 4, width // 4, 4, channels).mean((2, 4))
    return means.std((1, 2)).mean(1)


def _srgb(pixels: Pixels, to_srgb: Convert | None) -> Values:
    return to_unit(pixels) if to_srgb is None else to_srgb(to_unit(pixels))


def _cells(pixels: Pixels, side: int, step: int) -> Pixels:
    """Return squares on a regular grid: (N, side, side, C), none if the photo is smaller."""
    if min(pixels.shape[:2]) < side:
        return np.empty((0, side, side, pixels.shape[2]), pixels.dtype)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (side, side), (0, 1))[::step, ::step]
    return np.moveaxis(windows, 2, -1).reshape(-1, side, side, pixels.shape[2])


def _sides(pixels: Pixels, scale: int) -> Iterator[Pixels]:
    """Return pieces of the strips along the four sides: (N, 4·scale, 16·scale, C) each."""
    width, length = _BORDER * scale, _CELL * scale
    across = pixels.swapaxes(0, 1)
    for strip in (pixels[:width], pixels[-width:], across[:width], across[-width:]):
        pieces = strip.shape[1] // length if len(strip) == width else 0
        cut = strip[:, : pieces * length].reshape(-1 if pieces else width, pieces, length, pixels.shape[2])
        yield cut.swapaxes(0, 1)

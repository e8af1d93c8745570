"""Automatic strength (`strength="auto"`): the weight of the denoised photo, from the noise of the photo.

Of a noisy photo x + n and a result x + e, whose errors are independent, the mix with the least error takes the fraction
w = σ² / (σ² + mean e²) of the result. σ is what `noise.estimate` finds; and the mean square of what the result changes,
e − n, is just σ² + mean e². So w = σ² / mean change², with no constant to fit and true for any model: where a model
takes away more than the noise, it takes detail, and gets less weight. All in luma, which carries the visible detail.

The change is measured on a few patches before the photo is processed. ``python benchmarks/strength.py CLEAN_FOLDER``
compares this with knowing the best strength, and with a constant model error b in place of mean e².
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.options import BlendOptions
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image.colour import conversion
from nsp_cli.image.frame import Frame, to_unit
from nsp_cli.image.luma import luma
from nsp_cli.noise.estimate import NoiseEstimate, estimate

_PATCHES = 3  # along each side of the photo, at most
_PATCH = 192  # pixels; all patches together are a third of a megapixel


def resolve_blend(options: BlendOptions, frame: Frame, backend: Backend) -> Blend:
    """Choose the blend of one photo; with strength "auto" its noise and the backend's change are measured.

    Raises
    ------
    UsageError
        A noise level is given that nothing uses.
    MemoryLimitError
        Not even the smallest tile fits.
    """
    if options.strength != "auto":
        if options.noise is not None and not backend.spec.noise_level:
            raise UsageError("This model has no noise level as input; leave out `noise`.")
        return Blend(options.strength, options.luma, options.chroma, options.noise)
    measured = estimate(frame.pixels, conversion(frame))
    # A level that is given is not doubted.
    trusted = measured if options.noise is None else NoiseEstimate(options.noise)
    strength = auto_strength(trusted, mean_square_change(frame, backend, trusted.trusted_luma))
    return Blend(strength, options.luma, options.chroma, trusted.trusted_luma, measured)


def auto_strength(noise: NoiseEstimate, change: float) -> float:
    """Return a strength, 0 … 100, that grows with the noise; `change` is a mean square in 8-bit units of luma."""
    return 100 * min(1.0, noise.trusted_luma**2 / max(change, 1e-9))


def mean_square_change(frame: Frame, backend: Backend, noise: float | None = None) -> float:
    """Measure what the backend changes in luma, in 8-bit units squared, on up to 3×3 patches spread over the photo.

    `noise` is the whole photo's, see `Blend.noise`; without it each patch is measured. Against the bicubic
    enlargement where the backend enlarges; the mix that is best there is not measured yet.
    """
    tops, lefts = map(_starts, frame.size)
    to_srgb = conversion(frame) or (lambda values: values)
    squares: list[float] = []
    for top in tops:
        for left in lefts:
            patch = replace(frame.region(slice(top, top + _PATCH), slice(left, left + _PATCH)), alpha=None)
            before, after = (
                to_unit(process(patch, backend, Blend(strength, noise=noise)).pixels) for strength in (0, 100)
            )
            change = to_srgb(after) - to_srgb(before)
            squares.append(float(np.mean((change if change.shape[2] == 1 else luma(change)) ** 2)))
    return 255**2 * float(np.mean(squares))


def _starts(side: int) -> list[int]:
    """Return where patches begin along a side of the photo in pixels: no two share more than half of their pixels."""
    count = min(_PATCHES, max(1, round(side / _PATCH)))
    room = max(side - _PATCH, 0)
    return [room // 2] if count == 1 else [round(start) for start in np.linspace(0, room, count)]

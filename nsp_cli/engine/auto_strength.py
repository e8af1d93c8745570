"""`--strength auto`: how much of the denoised photo to take, from how noisy the photo was.

Of a noisy photo x + n and a result x + e, whose errors are independent, the mix with the least error takes the share
w = σ² / (σ² + mean e²) of the result. σ is what `noise.estimate` finds; and the mean square of what the result changes,
e − n, is just σ² + mean e². So w = σ² / mean change², with no constant to fit and true for any model: where a model
takes away more than the noise, it takes detail, and gets less say. All in luma, which is what is seen as detail.

The change is measured on a few patches before the photo is processed. ``python benchmarks/strength.py CLEAN_FOLDER``
compares this with knowing the best strength, and with a constant model error b in place of mean e².
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Looks
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image.colour import conversion
from nsp_cli.image.frame import Frame, to_unit
from nsp_cli.image.luma import luma
from nsp_cli.noise.estimate import NoiseEstimate, estimate

Strength = float | Literal["auto"]

_PATCHES = 3  # along each side of the photo
_PATCH = 192  # pixels; all patches together are a third of a megapixel


@dataclass(frozen=True)
class Choice:
    """What a photo gets, and the measurement that decided it (None where a number was given).

    `told` is what is known of its noise, for `engine.process`, which else measures it.
    """

    looks: Looks
    noise: NoiseEstimate | None = None
    told: float | None = None

    def sentence(self) -> str:
        """For a person: "noise 6.2 (luma) and 8.1 (chroma) of 255, strength 87"; empty where nothing was measured."""
        if self.noise is None:
            return ""
        levels = f"{self.noise.luma:.1f} (luma) and {self.noise.chroma:.1f} (chroma) of 255"
        return f"noise {levels}, strength {self.looks.strength:.0f}"


@dataclass(frozen=True)
class Wanted:
    """What a user asks for, for any photo: percentages as in `Looks`, or "auto" for the strength.

    `noise` is what the user knows of the photo's luma noise, see `engine.process`; None to measure it.

    Raises
    ------
    UsageError : a value is out of range
    """

    strength: Strength = 100.0
    luma: float = 100.0
    chroma: float = 100.0
    noise: float | None = None

    def __post_init__(self) -> None:
        Looks(100.0 if self.strength == "auto" else self.strength, self.luma, self.chroma)
        if self.noise is not None and not 0 <= self.noise <= 255:
            raise UsageError(f"--noise must be from 0 to 255, got {self.noise:g}.")

    def check(self, backend: Backend) -> None:
        """Raise `UsageError` where nobody listens to `noise`."""
        if self.noise is not None and self.strength != "auto" and not backend.spec.noise_level:
            raise UsageError("This model does not ask how noisy a photo is; leave out --noise.")

    def choose(self, frame: Frame, backend: Backend) -> Choice:
        """What one photo gets from this backend. Raises `MemoryLimitError`, and `UsageError` as `check`."""
        self.check(backend)
        if self.strength != "auto":
            return Choice(Looks(self.strength, self.luma, self.chroma), told=self.noise)
        found = estimate(frame.pixels, conversion(frame))
        if self.noise is not None:
            found = replace(found, luma=self.noise)
        strength = auto_strength(found, mean_square_change(frame, backend, found.luma))
        return Choice(Looks(strength, self.luma, self.chroma), found, found.luma)


def auto_strength(noise: NoiseEstimate, change: float) -> float:
    """0 … 100, growing with the noise; 0 where none was found. `change` is a mean square in 8-bit units of luma."""
    return 100 * min(1.0, noise.luma**2 / max(change, 1e-9))


def mean_square_change(frame: Frame, backend: Backend, noise: float | None = None) -> float:
    """What the backend changes in luma, in 8-bit units squared, on 3×3 patches spread over the photo.

    `noise` is the whole photo's, see `engine.process`; without it each patch is measured. Against the bicubic
    enlargement where the backend enlarges; the mix that is best there is not measured yet.
    """
    tops, lefts = (
        sorted({round(start) for start in np.linspace(0, max(side - _PATCH, 0), _PATCHES)}) for side in frame.size
    )
    squares: list[float] = []
    for top in tops:
        for left in lefts:
            patch = replace(frame, pixels=frame.pixels[top : top + _PATCH, left : left + _PATCH], alpha=None)
            before, after = (
                to_unit(process(patch, backend, looks=Looks(part), noise=noise).pixels) for part in (0, 100)
            )
            change = after - before
            squares.append(float(np.mean((change if change.shape[2] == 1 else luma(change)) ** 2)))
    return 255**2 * float(np.mean(squares))

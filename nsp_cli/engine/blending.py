"""Blend a photo with the network's result, in luma and in chroma separately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import UsageError
from nsp_cli.image.luma import luma
from nsp_cli.noise.estimate import NoiseEstimate


def check_blend(strength: float, luma: float, chroma: float, noise: float | None) -> None:
    """Raise `UsageError` where a percentage is not from 0 to 100, or a noise level not from 0 to 255."""
    for name, value in (("strength", strength), ("luma", luma), ("chroma", chroma)):
        if not 0 <= value <= 100:
            raise UsageError(f"`{name}` must be between 0 and 100, got {value:g}.")
    if noise is not None and not 0 <= noise <= 255:
        raise UsageError(f"`noise` must be from 0 to 255, got {noise:g}.")


@dataclass(frozen=True)
class Blend:
    """Strengths of the blend of one photo with the network's result, and its noise level.

    `auto_strength.resolve_blend` makes it of `options.BlendOptions`, in which the strength may be "auto".

    Attributes
    ----------
    strength : float
        Percentage of the whole change: 0 leaves the photo as it is, 100 is the whole effect.
    luma : float
        Percentage of the change in luma (Rec. 601): grain and detail.
    chroma : float
        Percentage of the change in chroma: blotches of colour. It has no effect on grey photos.
    noise : float, optional
        Standard deviation of the luma noise in sRGB encoding and 8-bit units, as `noise.estimate` returns it: the
        input of noise-conditional networks. None to measure it on the whole photo.
    measured : NoiseEstimate, optional
        The measurement that decided the strength; None if no strength was measured.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    strength: float = 100.0
    luma: float = 100.0
    chroma: float = 100.0
    noise: float | None = None
    measured: NoiseEstimate | None = None

    def __post_init__(self) -> None:
        check_blend(self.strength, self.luma, self.chroma, self.noise)

    def is_identity(self, channels: int) -> bool:
        """Return whether a photo of 1 or 3 channels stays as it is, bit for bit."""
        return self.strength == 0 or (self.luma == 0 and (self.chroma == 0 or channels == 1))

    def sentence(self) -> str:
        """Describe a measurement: "noise 6.2 (luma) and 8.1 (chroma) of 255, strength 87"; empty without one."""
        if self.measured is None:
            return ""
        levels = f"{self.measured.luma:.1f} (luma) and {self.measured.chroma:.1f} (chroma) of 255"
        if self.noise is not None and self.noise != self.measured.trusted_luma:
            levels += f", luma is given as {self.noise:.1f}"
        elif self.measured.may_be_texture:
            levels += f", luma may be texture and is taken for {self.noise:.1f}"
        return f"noise {levels}, strength {self.strength:.0f}"


def scale_change(change: NDArray[np.float32], blend: Blend) -> NDArray[np.float32]:
    """Scale a result's difference from the photo, (H, W, 1 or 3) float32 of any range, to what is added to the photo.

    ::

        strength/100 · (luma/100 · Y + chroma/100 · (change − Y)),   Y the luma of the change
    """
    for_luma, for_chroma = (np.float32(blend.strength * percent / 1e4) for percent in (blend.luma, blend.chroma))
    # Without a split there is no rounding: the defaults give the network's result bit for bit.
    if change.shape[2] == 1 or for_luma == for_chroma:
        return for_luma * change
    grey = luma(change)[..., None]
    return np.asarray(for_luma * grey + for_chroma * (change - grey), np.float32)


def residual_picture(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[NDArray[np.uint8], int]:
    """Draw the change around middle grey: (H, W, C) in [0, 1] twice, to 8 bits and the factor of amplification.

    The factor is the power of two, 1 … 64, that brings 99% of the changes within the picture's range.
    """
    change = after - before
    largest = float(np.quantile(np.abs(change), 0.99))
    factor = 64 if largest <= 0 else 2 ** int(np.clip(np.floor(np.log2(0.5 / largest)), 0, 6))
    return np.clip(np.rint(255 * (0.5 + factor * change)), 0, 255).astype(np.uint8), factor

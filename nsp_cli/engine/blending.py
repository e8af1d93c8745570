"""How much of a result a photo gets, chosen after one inference: in luma and in chroma separately."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import UsageError
from nsp_cli.image.luma import luma


@dataclass(frozen=True)
class Looks:
    """Percentages, each 0 … 100: 0 leaves the photo as it is, 100 is the whole effect.

    Attributes
    ----------
    strength : of the whole change
    luma : of the change in luma (Rec. 601): grain and detail
    chroma : of the change in chroma: blotches of colour. Grey photos have none, so for them it says nothing

    Raises
    ------
    UsageError : a value is out of range
    """

    strength: float = 100.0
    luma: float = 100.0
    chroma: float = 100.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float = getattr(self, field.name)
            if not 0 <= value <= 100:
                raise UsageError(f"--{field.name} must be between 0 and 100, got {value:g}.")

    def is_identity(self, channels: int) -> bool:
        """Whether a photo of 1 or 3 channels stays as it is, bit for bit."""
        return self.strength == 0 or (self.luma == 0 and (self.chroma == 0 or channels == 1))


def scale_change(change: NDArray[np.float32], looks: Looks) -> NDArray[np.float32]:
    """What is to be added to a photo, from what its result differs by: both (H, W, 1 or 3) float32, any range.

    ::

        strength/100 · (luma/100 · Y + chroma/100 · (change − Y)),   Y the luma of the change
    """
    for_luma, for_chroma = (np.float32(looks.strength * share / 1e4) for share in (looks.luma, looks.chroma))
    # Without a split there is no rounding: the defaults give the network's result bit for bit.
    if change.shape[2] == 1 or for_luma == for_chroma:
        return for_luma * change
    grey = luma(change)[..., None]
    return np.asarray(for_luma * grey + for_chroma * (change - grey), np.float32)


def residual_picture(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[NDArray[np.uint8], int]:
    """What was changed, around middle grey: (H, W, C) in [0, 1] twice, to 8 bits and the factor of amplification.

    The factor is the power of two, 1 … 64, that brings 99% of the changes within the picture's range.
    """
    change = after - before
    largest = float(np.quantile(np.abs(change), 0.99))
    factor = 64 if largest <= 0 else 2 ** int(np.clip(np.floor(np.log2(0.5 / largest)), 0, 6))
    return np.clip(np.rint(255 * (0.5 + factor * change)), 0, 255).astype(np.uint8), factor

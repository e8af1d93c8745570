"""`--strength auto`: how much of the denoised photo to take, from how noisy the photo was.

A denoiser errs by a blur of its own, whatever the noise. Of two independent errors, the noise's σ² and the denoiser's
b², the mix with the least error takes the share w = σ² / (σ² + b²) of the denoised photo. σ is what `noise.estimate`
finds in the luma, b was fitted: ``python benchmarks/strength.py CLEAN_FOLDER`` measures the best share on simulated
noise over clean photos with the shipped weights and prints the constant below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nsp_cli.image.frame import Pixels
from nsp_cli.noise import NoiseEstimate, estimate
from nsp_cli.ops.blend import Looks

Strength = float | Literal["auto"]

BLUR = 4.8
"""b, the shipped model's own error in 8-bit units. Fitted; see above."""


@dataclass(frozen=True)
class Choice:
    """What a photo gets, and the measurement that decided it (None where a number was given)."""

    looks: Looks
    noise: NoiseEstimate | None = None

    def sentence(self) -> str:
        """For a person: "noise 6.2 (luma) and 8.1 (chroma) of 255, strength 87"; empty where nothing was measured."""
        if self.noise is None:
            return ""
        levels = f"{self.noise.luma:.1f} (luma) and {self.noise.chroma:.1f} (chroma) of 255"
        return f"noise {levels}, strength {self.looks.strength:.0f}"


@dataclass(frozen=True)
class Wanted:
    """What a user asks for, for any photo: percentages as in `Looks`, or "auto" for the strength.

    Raises
    ------
    UsageError : a value is out of range
    """

    strength: Strength = 100.0
    luma: float = 100.0
    chroma: float = 100.0

    def __post_init__(self) -> None:
        Looks(100.0 if self.strength == "auto" else self.strength, self.luma, self.chroma)

    def choose(self, pixels: Pixels) -> Choice:
        """What one photo gets, (H, W, 1 or 3) of any depth."""
        if self.strength != "auto":
            return Choice(Looks(self.strength, self.luma, self.chroma))
        found = estimate(pixels)
        return Choice(Looks(auto_strength(found), self.luma, self.chroma), found)


def auto_strength(noise: NoiseEstimate, blur: float = BLUR) -> float:
    """0 … 100, growing with the noise; 0 where none was found."""
    return 100 * noise.luma**2 / (noise.luma**2 + blur**2)

"""PSNR and SSIM as in published tables, on uint8 RGB, by scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import InputError, NoInputError, UnavailableError
from nsp_cli.image import from_unit, is_photo, to_unit
from nsp_cli.image.frame import Pixels
from nsp_cli.image.luma import luma
from nsp_cli.system.files import is_folder

_GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

_MARKS = (("_noisy", "_clean"), ("_real", "_mean"), ("_NOISY", "_GT"), ("", ""))


@dataclass(frozen=True)
class Scores:
    """One photo's or one set's figures. SSIM is the RGB variant with a Gaussian window, σ = 1.5."""

    psnr: float
    ssim: float


def find_pairs(noisy: Path, clean: Path) -> list[tuple[Path, Path]]:
    """Match the photos of two folders, which may be the same one, by their names.

    ``a_noisy.png`` goes with ``a_clean.png`` (also _real/_mean and _NOISY/_GT); in two folders equal names go together.

    Raises
    ------
    NoInputError
        A folder is missing, or nothing in one has a partner in the other.
    """
    for folder in (noisy, clean):
        if not is_folder(folder):
            raise NoInputError(f"{folder} is not a folder.")
    partners = {path.stem: path for path in sorted(clean.iterdir()) if is_photo(path)}
    pairs: list[tuple[Path, Path]] = []
    for path in sorted(noisy.iterdir()):
        if is_photo(path) and (partner := _partner(path.stem, partners)) not in (None, path):
            pairs.append((path, partner))  # pyright: ignore[reportArgumentType]
    if not pairs:
        raise NoInputError(
            f"No photo in {noisy} has a clean partner in {clean}; name them x_noisy.png and x_clean.png."
        )
    return pairs


def unpaired(folder: Path, pairs: Sequence[tuple[Path, Path]]) -> list[Path]:
    """Return the photos in a folder that belong to none of the pairs, sorted."""
    paired = {path for pair in pairs for path in pair}
    return sorted(path for path in folder.iterdir() if is_photo(path) and path not in paired)


def _partner(stem: str, partners: dict[str, Path]) -> Path | None:
    for noisy, clean in _MARKS:
        if stem.endswith(noisy) and stem.removesuffix(noisy) + clean in partners:
            return partners[stem.removesuffix(noisy) + clean]
    return None


def to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """Convert pixels of any depth to uint8 RGB, (H, W, 3), on which published figures are measured."""
    eight = pixels if pixels.dtype == np.uint8 else from_unit(to_unit(pixels), np.uint8)
    return np.ascontiguousarray(np.broadcast_to(eight, (*eight.shape[:2], 3))).astype(np.uint8, copy=False)


def score(result: Pixels, clean: Pixels) -> Scores:
    """Compute PSNR in dB and SSIM of (H, W, C) pixels against the clean ones.

    Raises
    ------
    InputError
        The sizes differ.
    UnavailableError
        scikit-image is not installed.
    """
    if result.shape[:2] != clean.shape[:2]:
        raise InputError(f"A pair must have one size, got {result.shape[:2]} and {clean.shape[:2]}.")
    a, b = to_uint8(result), to_uint8(clean)
    return Scores(psnr(a, b), _similarity(a, b, channel_axis=2, **_GAUSSIAN))


PUBLISHED = {
    "psnr": "PSNR, RGB, dB",
    "ssim": "SSIM, RGB, Gaussian window",
    "ssim_y": "SSIM, Y, Gaussian window",
    "ssim_channels": "SSIM, mean of R, G, B, 7x7 window",
}
"""The figures of `published_scores`, and their names for people."""


def published_scores(result: Pixels, clean: Pixels) -> dict[str, float]:
    """Compute PSNR and SSIM of (H, W, C) pixels in each variant of the published tables, by the keys of `PUBLISHED`.

    ``ssim`` is `score`'s: σ = 1.5, 11×11, mean of the three channels (TBSN's program has the same). ``ssim_y`` is that
    of Rec. 601's Y in 16 … 235, not rounded (AT-BSN's program); it is higher, because chroma noise does not count.
    ``ssim_channels`` is scikit-image's default: a flat 7×7 window, sample covariance, mean of the three channels
    (AP-BSN's program). Raises as `score` does.
    """
    main = score(result, clean)
    a, b = to_uint8(result), to_uint8(clean)
    y = _similarity(*(16 + luma(side.astype(np.float32)) * (219 / 255) for side in (a, b)), **_GAUSSIAN)
    return {"psnr": main.psnr, "ssim": main.ssim, "ssim_y": y, "ssim_channels": _similarity(a, b, channel_axis=2)}


def _similarity(a: NDArray[Any], b: NDArray[Any], **how: Any) -> float:
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise UnavailableError("SSIM needs scikit-image; install it with: pip install scikit-image.") from error
    similarity: Any = structural_similarity(a, b, data_range=255, **how)
    return float(similarity)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Compute the peak signal-to-noise ratio of two uint8 arrays in dB; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def mean(scores: list[Scores]) -> Scores:
    """Average PSNR and SSIM over photos, as in published tables."""
    return Scores(float(np.mean([s.psnr for s in scores])), float(np.mean([s.ssim for s in scores])))

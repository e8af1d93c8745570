"""Luma and chroma of tensors, as `nsp_cli.image.luma` has them for arrays."""

from __future__ import annotations

from torch import Tensor

from nsp_cli.image.luma import WEIGHTS


def luma(photo: Tensor) -> Tensor:
    """Return the luma (N, 1, H, W) of RGB values or differences (N, 3, H, W)."""
    return (photo * photo.new_tensor(WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def chroma(photo: Tensor) -> Tensor:
    """Return RGB values or differences (N, 3, H, W) without their luma, (N, 3, H, W)."""
    return photo - luma(photo)

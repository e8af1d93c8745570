"""Pixel-shuffle downsampling (PD): a photo as s² sub-images, and back, bit for bit.

Sub-image ``k = s·a + b`` of a PD split by stride s is the phase ``I[a::s, b::s]``. Source: Zhou et al., "When
AWGN-based denoiser meets real noises" (AAAI 2020); used by AP-BSN and NSP alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nsp_cli.errors import UsageError


def pd_split(photo: Tensor, stride: int) -> Tensor:
    """Split (N, C, H, W) into its sub-images, (N, s², C, H/s, W/s).

    Raises
    ------
    UsageError
        The photo's sides are not multiples of `stride`.
    """
    check_divisible(photo, stride)
    n, c, h, w = photo.shape
    return F.pixel_unshuffle(photo, stride).reshape(n, c, stride * stride, h // stride, w // stride).transpose(1, 2)


def pd_merge(subs: Tensor, stride: int) -> Tensor:
    """Put (N, s², C, h, w) sub-images together, (N, C, s·h, s·w): the inverse of `pd_split`, and NSP's shuffle."""
    n, _, c, h, w = subs.shape
    return F.pixel_shuffle(subs.transpose(1, 2).reshape(n, c * stride * stride, h, w), stride)


def to_mosaic(subs: Tensor, stride: int) -> Tensor:
    """Lay (N, s², C, h, w) sub-images side by side, s in a row: one picture (N, C, s·h, s·w)."""
    return subs.unflatten(1, (stride, stride)).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def from_mosaic(picture: Tensor, stride: int) -> Tensor:
    """Cut a picture (N, C, s·h, s·w) into its s² sub-images, (N, s², C, h, w): the inverse of `to_mosaic`."""
    n, c, h, w = picture.shape
    blocks = picture.reshape(n, c, stride, h // stride, stride, w // stride)
    return blocks.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def check_divisible(photo: Tensor, stride: int) -> None:
    """Raise `UsageError` unless the last two sides of `photo` are multiples of `stride`."""
    h, w = photo.shape[-2:]
    # A traced size is a symbol, which an export may not branch on.
    if not torch.compiler.is_compiling() and (h % stride or w % stride):
        raise UsageError(f"A PD split by {stride} needs sides that are multiples of {stride}, got {h}x{w}.")

"""Padding or cutting at the right and the bottom, so that a photo's sides become multiples of a stride."""

from __future__ import annotations

import torch
from torch import Tensor

from nsp_cli.errors import UsageError


def pad_to_multiple(photo: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Extend (N, C, H, W) by reflection until both sides are multiples of `multiple` and at least `smallest`.

    Reflection leaves out the edge pixel and goes back and forth where the photo is smaller than the padding; a side
    of one pixel is repeated. Written with gathers, because a graph for any size (ONNX) has no other way to say it.
    """
    h, w = photo.shape[-2:]
    rows, columns = (_reflected(side, multiple, smallest, photo.device) for side in (h, w))
    return photo.index_select(-2, rows).index_select(-1, columns)


def cut_to_size(photo: Tensor, h: int, w: int) -> Tensor:
    """Crop a photo (N, C, H, W) to its first h rows and w columns, which removes padding."""
    if not torch.compiler.is_exporting():
        return photo[..., :h, :w]
    # A slice would have the exporter prove that the photo is as large, which it cannot for every network.
    rows, columns = (torch.arange(side, device=photo.device) for side in (h, w))
    return photo.index_select(-2, rows).index_select(-1, columns)


def cut_to_multiple(photo: Tensor, multiple: int) -> Tensor:
    """Cut (…, H, W) at the right and the bottom until both sides are multiples of `multiple`; for training.

    Raises
    ------
    UsageError : nothing would be left
    """
    h, w = (side // multiple * multiple for side in photo.shape[-2:])
    if not h or not w:
        height, width = photo.shape[-2:]
        raise UsageError(
            f"The network needs inputs of at least {multiple}x{multiple} pixels, and this --patch gives it "
            f"{height}x{width}; use a larger --patch."
        )
    return photo[..., :h, :w]


def _reflected(side: int, multiple: int, smallest: int, device: torch.device) -> Tensor:
    # Only positive numbers are divided: ONNX rounds towards zero where Python rounds down.
    padded = (torch.sym_max(side, smallest) + multiple - 1) // multiple * multiple
    # Tensors and not integers, because the ONNX exporter cannot take a remainder by a symbolic size.
    period = torch.full((1,), torch.sym_max(2 * (side - 1), 1), dtype=torch.long, device=device)
    index = torch.arange(padded, device=device) % period
    return torch.minimum(index, period - index)

"""Padding and cutting: until a photo's sides are multiples of a stride, or by a margin on all four sides."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nsp_cli.errors import UsageError


def pad_to_multiple(photo: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Extend (N, C, H, W) by reflection until both sides are multiples of `multiple` and at least `smallest`.

    Reflection leaves out the edge pixel and goes back and forth where the photo is smaller than the padding; a side
    of one pixel is repeated. Written with gathers, because an ONNX graph for photos of any size has no other way.
    """
    h, w = photo.shape[-2:]
    rows, columns = (_reflected(side, multiple, smallest, photo.device) for side in (h, w))
    return photo.index_select(-2, rows).index_select(-1, columns)


def zero_pad_to_multiple(photo: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Extend (N, C, H, W) by zeros at the right and the bottom, as far as `pad_to_multiple`."""
    h, w = photo.shape[-2:]
    bottom, right = (_padded(side, multiple, smallest) - side for side in (h, w))
    return F.pad(photo, (0, right, 0, bottom))


def reflect_sides(photo: Tensor, margin: int) -> Tensor:
    """Extend (N, C, H, W) by reflection on all four sides, (N, C, H + 2·margin, W + 2·margin).

    Photos that are smaller than the margin are treated as in `pad_to_multiple`.
    """
    if not margin:
        return photo
    rows, columns = (
        _mirrored((torch.arange(side + 2 * margin, device=photo.device) - margin).abs(), side)
        for side in photo.shape[-2:]
    )
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
    UsageError
        Nothing would be left.
    """
    h, w = (side // multiple * multiple for side in photo.shape[-2:])
    if not h or not w:
        height, width = photo.shape[-2:]
        raise UsageError(
            f"The network needs inputs of at least {multiple}x{multiple} pixels, and this `patch` gives it "
            f"{height}x{width}; use a larger `patch`."
        )
    return photo[..., :h, :w]


def _padded(side: int, multiple: int, smallest: int) -> Any:
    """Return the next multiple from a side on that is at least `smallest`."""
    # Only positive numbers are divided: ONNX rounds towards zero where Python rounds down.
    return (torch.sym_max(side, smallest) + multiple - 1) // multiple * multiple


def _reflected(side: int, multiple: int, smallest: int, device: torch.device) -> Tensor:
    return _mirrored(torch.arange(_padded(side, multiple, smallest), device=device), side)


def _mirrored(index: Tensor, side: int) -> Tensor:
    """Map indices of 0 or more to those of a side's pixels by reflection at its last pixel, and back at its first."""
    # Tensors and not integers, because the ONNX exporter cannot take a remainder by a symbolic size.
    period = torch.full((1,), torch.sym_max(2 * (side - 1), 1), dtype=torch.long, device=index.device)
    index = index % period
    return torch.minimum(index, period - index)

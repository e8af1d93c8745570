"""Padding at the right and the bottom, so that a photo's sides become multiples of a stride."""

from __future__ import annotations

import torch
from torch import Tensor


def pad_to_multiple(photo: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Extend (N, C, H, W) by reflection until both sides are multiples of `multiple` and at least `smallest`.

    Reflection leaves out the edge pixel and goes back and forth where the photo is smaller than the padding; a side
    of one pixel is repeated. Written with gathers, because a graph for any size (ONNX) has no other way to say it.
    """
    h, w = photo.shape[-2:]
    # Only positive numbers are divided: ONNX rounds towards zero where Python rounds down.
    rows = _reflected(h, (torch.sym_max(h, smallest) + multiple - 1) // multiple * multiple, photo.device)
    columns = _reflected(w, (torch.sym_max(w, smallest) + multiple - 1) // multiple * multiple, photo.device)
    return photo.index_select(-2, rows).index_select(-1, columns)


def _reflected(side: int, padded: int, device: torch.device) -> Tensor:
    # Tensors and not integers, because the ONNX exporter cannot take a remainder by a symbolic size.
    period = torch.full((1,), torch.sym_max(2 * (side - 1), 1), dtype=torch.long, device=device)
    index = torch.arange(padded, device=device) % period
    return torch.minimum(index, period - index)

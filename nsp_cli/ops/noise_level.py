"""Estimate the noise level by a few tensor operations, for graphs and pipelines that are run without it.

This is coarser than `nsp_cli.noise`, with which the engine measures the whole photo: blocks are not grouped by
brightness, and only the tile is measured. Each 16×16 cell has two pairs of 8×8 blocks, without the plane that fits
best; the flatter one pair is, the more the variance of the other pair counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nsp_cli.ops.luma import luma
from nsp_cli.ops.padding import pad_to_multiple

_BLOCK = 8  # pixels: side of the blocks whose variance is measured
_POWER = 2.0
"""Exponent of a block's variance in its weight; 2 agrees best with `nsp_cli.noise`."""

_FAINT = (0.2 / 255) ** 2
"""Variance that is added to that of each block; about what rounding to 8 bits leaves in the flattest ones."""

_EVEN = (0.01 / 255) ** 2
"""Variance below which a block is a frame or a filled area and not measured."""

_BLACK, _WHITE, _CLIPPED = 0.5 / 255, 254.5 / 255, 0.02
"""Values below and above which noise is clipped, and the fraction of such pixels that a block may have."""

_LEAST = 1e-14
"""Weight of even and of clipped blocks: they decide only where there are no others."""


def append_noise_level(photos: Tensor, level: Tensor) -> Tensor:
    """Append the noise level (N,) to photos (N, C, h, w) as a plane: (N, C + 1, h, w)."""
    plane = level.to(photos.dtype).view(-1, 1, 1, 1).expand(len(photos), 1, *photos.shape[2:])
    return torch.cat([photos, plane], 1)


def estimate_noise_level(photos: Tensor) -> Tensor:
    """Estimate the standard deviation of the luma noise of each photo of a batch.

    Parameters
    ----------
    photos : Tensor
        (N, 1 or 3, h, w) in [0, 1], in sRGB encoding; any h and w.

    Returns
    -------
    Tensor
        (N,) float32, white = 1.
    """
    with torch.autocast(photos.device.type, enabled=False):
        photos = pad_to_multiple(photos.float().nan_to_num().clamp(0, 1), 2 * _BLOCK)
        variance = _variance(luma(photos) if photos.shape[1] == 3 else photos)
        clipped = ((photos < _BLACK) | (photos > _WHITE)).any(1, keepdim=True).float()
        is_usable = (F.avg_pool2d(clipped, _BLOCK) <= _CLIPPED) & (variance > _EVEN)
        cells = [variance[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
        # The weight of a cell is that of its worst block. `_LEAST` is not added: torch's ONNX exporter leaves out a sum
        # with so small a number, and the weights of a photo without noise are then 0.
        weight = (-F.max_pool2d(-is_usable.float(), 2)).clamp_min(_LEAST)
        total, count = photos.new_zeros(len(photos)), photos.new_zeros(len(photos))
        for selecting, measured_on in (((0, 3), (1, 2)), ((1, 2), (0, 3))):
            flat = (cells[selecting[0]] + cells[selecting[1]]) / 2 + _FAINT
            counts = weight * (_FAINT / flat) ** _POWER
            total = total + (counts * (cells[measured_on[0]] + cells[measured_on[1]]) / 2).sum((1, 2, 3))
            count = count + counts.sum((1, 2, 3))
        return (total / count).sqrt()


def _variance(plane: Tensor) -> Tensor:
    """Return the variance of each block around the plane that fits best: (N, 1, h, w) to (N, 1, h / 8, w / 8)."""
    mean = F.avg_pool2d(plane, _BLOCK)
    centred = plane - F.interpolate(mean, scale_factor=_BLOCK)
    rows, columns = (torch.arange(side, device=plane.device) % _BLOCK - (_BLOCK - 1) / 2 for side in plane.shape[2:])
    ramps = [one * torch.ones_like(centred) for one in (rows.view(-1, 1), columns)]
    # Means and no convolution: on a GPU that may have ten bits of precision, and this difference has few to lose.
    fitted = sum(F.avg_pool2d(centred * ramp, _BLOCK) ** 2 / F.avg_pool2d(ramp**2, _BLOCK) for ramp in ramps)
    energy = F.avg_pool2d(centred**2, _BLOCK)
    return (energy - fitted).clamp_min(0) * (_BLOCK**2 / (_BLOCK**2 - 3))

"""How noisy a photo is, as a few tensor operations: for a graph or a pipeline that nobody tells.

Coarser than `nsp_cli.noise`, which the engine asks about the whole photo: it knows no groups of brightness and sees the
tile alone. Each 16×16 cell has two pairs of 8×8 blocks, without the plane that fits best; how flat one pair is decides
how much the other pair's variance counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nsp_cli.luma import WEIGHTS
from nsp_cli.ops.padding import pad_to_multiple

_BLOCK = 8
_POWER = 2.0
"""Blocks that vary ten times as much as others count a hundredth of them. With 2 it is nearest to `nsp_cli.noise`."""

_FAINT = (0.2 / 255) ** 2
"""No block is flatter than rounding to 8 bits leaves it."""

_BLACK, _WHITE = 0.5 / 255, 254.5 / 255
_CLIPPED = 1e-14
"""Weight of blocks with black or white pixels, where noise is cut off: they speak where there are no others."""


def told(photos: Tensor, level: Tensor) -> Tensor:
    """(N, C, h, w) and (N,) → (N, C + 1, h, w), see `PipelineSpec.noise_level`."""
    plane = level.to(photos.dtype).view(-1, 1, 1, 1).expand(len(photos), 1, *photos.shape[2:])
    return torch.cat([photos, plane], 1)


def measured(photos: Tensor) -> Tensor:
    """(N, 1 or 3, h, w) in [0, 1] → (N,), the standard deviation of luma noise (white = 1); any h and w."""
    with torch.autocast(photos.device.type, enabled=False):
        photos = photos.float()
        photos = pad_to_multiple(photos, 2 * _BLOCK)
        weights = photos.new_tensor(WEIGHTS) if photos.shape[1] == 3 else photos.new_ones(1)
        luma = (photos * weights.view(1, -1, 1, 1)).sum(1, keepdim=True)
        variance = _variance(luma)
        clipped = ((photos < _BLACK) | (photos > _WHITE)).any(1, keepdim=True).float()
        free = (F.max_pool2d(clipped, _BLOCK) < 0.5).float() + _CLIPPED
        total, count = photos.new_zeros(len(photos)), photos.new_zeros(len(photos))
        cells = [(variance[..., y::2, x::2], free[..., y::2, x::2]) for y in (0, 1) for x in (0, 1)]
        for judges, heard in (((0, 3), (1, 2)), ((1, 2), (0, 3))):
            flat = sum(cells[i][0] for i in judges) / 2 + _FAINT
            weight = (_FAINT / flat) ** _POWER * torch.stack([one[1] for one in cells]).amin(0)
            total = total + (weight * sum(cells[i][0] for i in heard) / 2).sum((1, 2, 3))
            count = count + weight.sum((1, 2, 3))
        return (total / count.clamp_min(1e-30)).sqrt()


def _variance(luma: Tensor) -> Tensor:
    """(N, 1, h, w) → (N, 1, h / 8, w / 8): of each block less the plane that fits best."""
    ramp = torch.linspace(-1, 1, _BLOCK, device=luma.device)
    flat = torch.ones_like(ramp)
    planes = torch.stack([torch.outer(a, b) for a, b in ((flat, flat), (ramp, flat), (flat, ramp))])
    planes = (planes / planes.norm(dim=(1, 2), keepdim=True)).unsqueeze(1)
    centred = luma - luma.mean((2, 3), keepdim=True)
    fitted = F.conv2d(centred, planes, stride=_BLOCK).square().sum(1, keepdim=True)
    energy = F.avg_pool2d(centred.square(), _BLOCK) * _BLOCK**2
    return (energy - fitted).clamp_min(0) / (_BLOCK**2 - 3)

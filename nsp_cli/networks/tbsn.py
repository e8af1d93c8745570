"""TBSN, the transformer-based blind-spot network, with NSP's pixel-shuffle tail.

Sources: Li et al., "Rethinking transformer-based blind-spot network for self-supervised image denoising" (AAAI 2025);
NSP (CVPR 2026).

The output of a 3×3 convolution with a zero centre depends, at each pixel, on none of its own *phase*: the pixels whose
row and column differ from its own by even numbers. From there on the paper keeps phases apart by dilation 2 in every
convolution, by a mask of −∞ on every odd offset of the window attention, and by resampling within phases
(patch-unshuffle). Here the four phases are simply four pictures: dilation, mask and patch-unshuffle become an ordinary
convolution, a window of half the side and pixel-unshuffle, with the same weights and results, and a quarter of the
window attention's work.

One default differs. The published channel attention takes its statistics over all phases together, and so lets a pixel
reach its own output through them (`statistics="photo"`). Taken over each phase by itself, the network is blind exactly.
"""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks.dbsn import CentralMaskedConv2d
from nsp_cli.networks.layers import Channels, Depth, Scale, Width, next_scale_tail
from nsp_cli.ops.padding import cut_to_size
from nsp_cli.ops.pd import pd_merge, pd_split
from nsp_cli.system.arguments import Between, OneOf

STATISTICS = ("phase", "photo")
TAILS = ("nsp", "plain")

_PHASES = 2  # stride of the phases: there are _PHASES² of them
_HEAD = 16
"""Channels of a head of the window attention."""
_WINDOW = 4
"""Side of a window in pixels of a phase: 8 in the photo, as published."""
_MARGIN = 1
"""Pixels by which keys and values extend over each side of a window: together half its side, as published."""
_OFFSETS = 23
"""Rows of the paper's tables of relative positions, for 12 + 12 − 1 offsets of pixels, the odd ones among them, which
its mask never lets through. They are kept so that the count of parameters is the published one."""


class TBSN(nn.Module):
    """Blind-spot network (N, C, h, w) → (N, C, t·h, t·w), any h and w, values around [0, 1].

    No output of the t×t block that an input pixel grows into depends on that pixel. Sides are extended by zeros, as the
    convolutions do at the border: a reflected pixel would be an input of its own output. 12,766,148 parameters with
    t = 2.

    Parameters
    ----------
    dim : int
        Channels of the first level; the second has twice, the third four times as many.
    blocks : tuple[Depth, Depth, Depth]
        Blocks of each level; all but the last have as many again on the way up.
    refinement : int
        Blocks at full size at the end.
    scale : int
        t, the factor from input to output.
    statistics : str
        Pixels over which channel attention sums: "phase", each phase by itself, or "photo", all of them together as
        published; with "photo" an output depends a little on its own pixel.
    tail : str
        "nsp", four 1×1 convolutions around a pixel-shuffle, or "plain", one 1×1 convolution as in the original TBSN.
    value_range : float
        Value of white inside the network, whose input and output are in [0, 1]; 255 in both releases.

    Raises
    ------
    ModelError
        `dim` is odd, or `tail` is "plain" and `scale` is not 1.
    """

    size_multiple = 1
    grid = _PHASES * 4 * _WINDOW
    """Product of phases, two levels and windows."""
    receptive_field_radius = 24
    """The main part: attention extends the receptive field to hundreds of pixels, its statistics to all of them."""
    tile = 192
    """Side of a tile, large enough for its statistics: the paper trains with 128 pixels (patches of 640 by PD 5)."""

    def __init__(
        self,
        channels: Channels = 3,
        dim: Width = 48,
        blocks: tuple[Depth, Depth, Depth] = (4, 4, 4),
        refinement: Annotated[int, Between(0, 64)] = 4,
        scale: Scale = 2,
        statistics: Annotated[str, OneOf(STATISTICS)] = "phase",
        tail: Annotated[str, OneOf(TAILS)] = "nsp",
        value_range: Annotated[float, Between(1, 65535)] = 1.0,
    ) -> None:
        super().__init__()
        if dim % 2:
            raise ModelError(f"The setting dim must be even, got {dim}.")
        if tail == "plain" and scale != 1:
            raise ModelError(f"The setting tail=plain needs scale 1, got {scale}.")
        self.scale, self.value_range = scale, value_range
        self.activation_floats_per_pixel = 24 * dim
        self.head = CentralMaskedConv2d(channels, dim, 3, bias=False)
        joined = _PHASES**2 if statistics == "photo" else 1
        self.down = nn.ModuleList([_blocks(dim, blocks[0], 1, 2, joined), _blocks(2 * dim, blocks[1], 2, 2, joined)])
        self.shrink = nn.ModuleList([_conv1x1(dim, dim // 2), _conv1x1(2 * dim, dim)])
        self.bottom = _blocks(4 * dim, blocks[2], 4, 3, joined)
        self.grow = nn.ModuleList([_conv1x1(4 * dim, 8 * dim), _conv1x1(2 * dim, 4 * dim)])
        self.join = nn.ModuleList([_conv1x1(4 * dim, 2 * dim), nn.Identity()])
        up = (_blocks(2 * dim, blocks[1], 2, 2, joined), _blocks(2 * dim, blocks[0] + refinement, 1, 2, joined))
        self.up = nn.ModuleList(up)
        plain = nn.Sequential(), 2 * dim
        self.tail, fine = plain if tail == "plain" else next_scale_tail(2 * dim, scale, nn.GELU, bias=False)
        self.last = nn.Conv2d(fine, channels, 1, bias=False)
        for layer in chain(self.tail, [self.last]):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, t·H, t·W)."""
        h, w = x.shape[-2:]
        right, bottom = (self.grid * _squares(side, self.grid) - side for side in (w, h))
        features = self.head(F.pad(self.value_range * x, (0, right, 0, bottom)))
        phases = pd_split(features, _PHASES)
        features = pd_merge(self._body(phases.flatten(0, 1)).unflatten(0, phases.shape[:2]), _PHASES)
        features = self.tail(cut_to_size(features, h, w))
        with torch.autocast(x.device.type, enabled=False):
            return self.last(features.float()) / self.value_range

    def _body(self, x: Tensor) -> Tensor:
        """Run the U-shaped body on pictures (N, dim, h, w) of one phase each, to (N, 2·dim, h, w)."""
        skips: list[Tensor] = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            x = stage(x)
            skips.append(x)
            x = F.pixel_unshuffle(shrink(x), 2)
        x = self.bottom(x)
        for grow, join, stage in zip(self.grow, self.join, self.up, strict=True):
            x = stage(join(torch.cat([F.pixel_shuffle(grow(x), 2), skips.pop()], 1)))
        return x


def _squares(side: int, grid: int) -> int:
    """Return the number of squares of the grid that cover a side."""
    cells: Any = (side + grid - 1) // grid
    if torch.compiler.is_exporting():
        # A symbol of its own, of which all later sizes are products: as expressions in the photo's size, through
        # paddings and halvings, they take the exporter many minutes.
        cells = torch.full((), cells).item()
        torch._check(cells > 0)  # pyright: ignore[reportPrivateUsage]
    return cells


def _conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _blocks(width: int, count: int, channel_heads: int, window_heads: int, joined: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width, channel_heads, window_heads, joined) for _ in range(count)))


class _Block(nn.Module):
    """x + channel attention(norm x), x + FFN(norm x), x + window attention(norm x), x + FFN(norm x)."""

    def __init__(self, width: int, channel_heads: int, window_heads: int, joined: int) -> None:
        super().__init__()
        parts = [
            ChannelAttention(width, channel_heads, joined),
            _feed_forward(width),
            WindowAttention(width, window_heads),
            _feed_forward(width),
        ]
        self.parts = nn.ModuleList(nn.Sequential(_Norm(width), part) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = x + part(x)
        return x


def _feed_forward(width: int) -> nn.Sequential:
    convs = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
    return nn.Sequential(convs[0], nn.GELU(), convs[1])


class _Norm(nn.Module):
    """Layer norm over the channels of each pixel, without bias and without subtracting the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = (x - x.mean(1, keepdim=True)).float()  # torch's own variance is slow across channels
        return x * self.weight.view(-1, 1, 1) * (centred.square().mean(1, keepdim=True) + 1e-5).rsqrt()


class ChannelAttention(nn.Module):
    """Attention between the channels of a head, over all pixels of a picture, (N, C, h, w) → the same.

    Source: Restormer (CVPR 2022), which TBSN takes it from.

    Parameters
    ----------
    width, heads : int
        Channels, and how many heads they are split into.
    joined : int
        Number of consecutive pictures of a batch, such as the phases of one photo, whose pixels are summed together.
    """

    def __init__(self, width: int, heads: int, joined: int = 1) -> None:
        super().__init__()
        self.heads, self.joined = heads, joined
        self.qkv = nn.Sequential(
            _conv1x1(width, 3 * width), nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        )
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = _conv1x1(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention between channels to (N, C, h, w)."""
        q, k, v = self.qkv(x).unflatten(1, (3, self.heads, -1)).flatten(4).unbind(1)  # (N, heads, C/heads, h·w) each
        # Sums over all pixels: bf16 would lose the small ones.
        with torch.autocast(x.device.type, enabled=False):
            q, k = (F.normalize(self._together(part.float()), dim=-1) for part in (q, k))
            weights = (q @ k.transpose(-1, -2) * self.temperature).softmax(-1)
            weights = weights if self.joined == 1 else weights.repeat_interleave(self.joined, 0)
        return self.project((weights.to(v.dtype) @ v).flatten(1, 2).unflatten(-1, x.shape[-2:]))

    def _together(self, x: Tensor) -> Tensor:
        """Join the phases of a photo: (joined·N, heads, c, pixels) to (N, heads, c, joined·pixels)."""
        return x if self.joined == 1 else x.unflatten(0, (-1, self.joined)).movedim(1, -2).flatten(-2)


class WindowAttention(nn.Module):
    """Attention of the pixels of a window to those of a larger one around it, (N, C, h, w) → the same.

    Keys and values beyond the border are zeros. The relative position is a vector for the row and one for the column,
    which the query is multiplied with, as with a key: the form that gives the published count of parameters.
    """

    offsets: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = _conv1x1(width, heads * _HEAD)
        self.key_value = _conv1x1(width, 2 * heads * _HEAD)
        self.project = _conv1x1(heads * _HEAD, width)
        self.positions = nn.Parameter(torch.randn(2, _OFFSETS, _HEAD) * _HEAD**-0.5)
        keys = torch.arange(_WINDOW + 2 * _MARGIN) - _MARGIN
        between = _PHASES * (keys - torch.arange(_WINDOW).unsqueeze(1))  # in pixels of the photo
        self.register_buffer("offsets", between + _OFFSETS // 2, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention within windows to (N, C, h, w)."""
        rows, columns = (side // _WINDOW for side in x.shape[-2:])
        side = _WINDOW + 2 * _MARGIN
        q = self.query(x).unflatten(1, (self.heads, _HEAD)).unflatten(-1, (columns, _WINDOW))
        q = q.unflatten(3, (rows, _WINDOW)).permute(0, 3, 5, 1, 4, 6, 2) * _HEAD**-0.5  # (N, Y, X, heads, 4, 4, 16)
        around = _windows(self.key_value(x), rows, columns)
        k, v = around.unflatten(1, (2, self.heads, _HEAD)).permute(1, 0, 4, 6, 2, 5, 7, 3).flatten(5, 6).unbind(0)
        near = self.positions[:, self.offsets].to(q.dtype)  # (2, 4, 6, 16)
        down = torch.einsum("...yxd,ykd->...yxk", q, near[0]).unsqueeze(-1)
        across = torch.einsum("...yxd,xkd->...yxk", q, near[1]).unsqueeze(-2)
        alike = (q.flatten(4, 5) @ k.transpose(-1, -2)).unflatten(-1, (side, side)).unflatten(4, (_WINDOW, _WINDOW))
        weights = (alike + down + across).flatten(6).flatten(4, 5).softmax(-1)
        out = (weights.to(v.dtype) @ v).unflatten(4, (_WINDOW, _WINDOW))  # (N, Y, X, heads, 4, 4, 16)
        return self.project(out.permute(0, 3, 6, 1, 4, 2, 5).flatten(5).flatten(3, 4).flatten(1, 2))


def _windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut (N, C, 4·rows, 4·columns) into overlapping windows, (N, C, rows, 6, columns, 6), by gathers, for ONNX."""
    side = _WINDOW + 2 * _MARGIN
    x = F.pad(x, (_MARGIN, _MARGIN, _MARGIN, _MARGIN))
    inside = torch.arange(side, device=x.device)
    down, across = (
        (torch.arange(count, device=x.device).unsqueeze(1) * _WINDOW + inside).flatten() for count in (rows, columns)
    )
    picked = x.index_select(-2, down).index_select(-1, across)
    return picked.unflatten(-1, (columns, side)).unflatten(2, (rows, side))

"""A network for two scales: a U-Net restores the photo at half its size, and a few blocks the detail at full size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nsp_cli.errors import ModelError
from nsp_cli.networks.layers import Channels, Depth, Depths, Scale, Width, Widths, convolve_to_outputs, halve
from nsp_cli.networks.unet import LEVEL_GAIN, USUAL_LEVEL, ResUNet, residual_blocks
from nsp_cli.system.arguments import Between

_CELL = 2  # pixels along a side that the network at full size treats as one


class FineScale(nn.Module):
    """The network at full size: (N, C + C, h, w) or (N, C + 1 + C, h, w) → (N, C, h, w), even sides.

    Its input is the photo, the noise level if that is an input, and the result for the photo at half its size, each
    pixel of which is repeated 2×2. It works on cells of 2×2 pixels, as `ResUNet` does. Without training its output is
    the photo whose cells have the means of the coarse result.

    Parameters
    ----------
    channels, noise_level
        See `ResUNet`.
    width, hidden, depth : int
        Feature channels, those between the two convolutions of a block, and residual blocks.
    """

    scale = 1
    size_multiple = _CELL
    input_skip = True
    coarse_input = True

    def __init__(self, channels: int, noise_level: bool, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.channels, self.noise_level = channels, noise_level
        self.activation_floats_per_pixel = 3 * width
        # Two convolutions in a block reach a cell each; and the rest of the outermost cell.
        self.receptive_field_radius = _CELL * 2 * depth + _CELL - 1
        self.head = nn.Conv2d(_CELL**2 * channels + channels + noise_level, width, 1)
        self.body = residual_blocks(width, hidden, depth)
        self.last = nn.Conv2d(width, _CELL**2 * channels, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]

    def adopt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn the weights of a network with or without the noise level into those of this one, see `ResUNet.adopt`."""
        adopted = dict(state)
        head = adopted["head.weight"]
        missing = self.head.in_channels - head.shape[1]
        if missing == 1 and self.noise_level:
            adopted["head.weight"] = torch.cat([head, head.new_zeros((len(head), 1, 1, 1))], 1)
        elif missing == -1 and not self.noise_level:
            adopted["head.weight"] = head[:, :-1].contiguous()
            adopted["head.bias"] = adopted["head.bias"] + LEVEL_GAIN * USUAL_LEVEL * head[:, -1].flatten()
        return adopted

    def forward(self, x: Tensor) -> Tensor:
        """Restore photos (N, planes, h, w) to (N, C, h, w)."""
        photo, level, coarse = x.split([self.channels, int(self.noise_level), self.channels], 1)
        coarse = coarse[..., ::_CELL, ::_CELL]
        cells = [F.pixel_unshuffle(photo, _CELL), coarse]
        if self.noise_level:
            cells.append(LEVEL_GAIN * F.avg_pool2d(level, _CELL))
        features = self.body[:-1](self.head(torch.cat(cells, 1)))
        detail = self._last_block(features)
        with torch.autocast(x.device.type, enabled=False):
            error = coarse.float() - F.avg_pool2d(photo.float(), _CELL)
            change = self.last(features.float()) + detail.float() + error.repeat_interleave(_CELL**2, 1)
            return photo + F.pixel_shuffle(change, _CELL)

    def _last_block(self, features: Tensor) -> Tensor:
        """Return what the last block adds to the output of `last`.

        Only `last` reads the output of the block's second convolution, and both are linear: one convolution with the
        product of their weights computes a third of what the two would.
        """
        first, relu, second = cast(Any, self.body[-1]).body
        with torch.autocast(features.device.type, enabled=False):
            outputs = self.last.weight.flatten(1)
            weight = (outputs @ second.weight.flatten(1)).unflatten(1, second.weight.shape[1:])
            bias = outputs @ second.bias
        return convolve_to_outputs(relu(first(features)), weight, bias, padding=1)


class TwoScale(nn.Module):
    """Next-scale refinement: a `ResUNet` at half the photo's size, and `FineScale` at its full size.

    (N, C, h, w) → (N, C, h, w), or (N, C + 1, h, w) with the noise level; sides multiples of 2^(levels + 1). Most of
    the noise of a photo that is coarser than a pixel is easier to see at half its size, where the U-Net computes a
    quarter of what it would at full size. Its result is an input of the fine network, which needs few convolutions and
    a halo of few pixels. The engine runs the two one after the other on the whole photo, see `engine.half_size`.

    Parameters
    ----------
    channels, widths, depths, hidden, noise_level
        Those of the `ResUNet` at half size.
    fine_width, fine_hidden, fine_depth : int
        Those of `FineScale`.
    scale : int
        1.

    Raises
    ------
    ModelError
        `scale` has another value.
    """

    scale = 1
    input_skip = True

    def __init__(
        self,
        channels: Channels = 3,
        widths: Widths = (48, 64, 96),
        depths: Depths = (2, 2, 3),
        noise_level: bool = False,
        hidden: Widths | None = None,
        fine_width: Width = 48,
        fine_hidden: Width = 32,
        fine_depth: Annotated[Depth, Between(1, 64)] = 3,
        scale: Scale = 1,
    ) -> None:
        super().__init__()
        if scale != 1:
            raise ModelError("A network for two scales does not enlarge; begin with another model, as `--from fast`.")
        self.channels, self.noise_level = channels, noise_level
        self.coarse = ResUNet(channels, widths, depths, noise_level=noise_level, hidden=hidden)
        self.fine = FineScale(channels, noise_level, fine_width, fine_hidden, fine_depth)
        self.size_multiple = _CELL * self.coarse.size_multiple
        self.activation_floats_per_pixel = self.fine.activation_floats_per_pixel
        self.receptive_field_radius = self.fine.receptive_field_radius + _CELL * self.coarse.receptive_field_radius

    def adopt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take the weights of a `ResUNet` for the network at half size, or of a `TwoScale` for both.

        As with `ResUNet.adopt`, the noise level may be missing or dropped.
        """
        parts = {
            part: {name.removeprefix(part): w for name, w in state.items() if name.startswith(part)}
            for part in ("coarse.", "fine.")
        }
        coarse = self.coarse.adopt(parts["coarse."] or state)
        fine = self.fine.adopt(parts["fine."] or self.fine.state_dict())
        return {f"coarse.{name}": w for name, w in coarse.items()} | {f"fine.{name}": w for name, w in fine.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Restore photos (N, planes, h, w) to (N, C, h, w)."""
        photo, level = x[:, : self.channels], x[:, self.channels :]
        coarse = self.coarse(halve(x, self.channels))
        repeated = coarse.to(photo.dtype).repeat_interleave(_CELL, 2).repeat_interleave(_CELL, 3)
        return self.fine(torch.cat([photo, level, repeated], 1))

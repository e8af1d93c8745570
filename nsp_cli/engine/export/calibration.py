"""Quantize a trained network without training, by the ranges of its activations on photos."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nsp_cli.engine.export.int8 import calibrating, quantize
from nsp_cli.errors import NoInputError
from nsp_cli.image import is_photo, read_srgb, to_unit
from nsp_cli.networks import as_network, is_noise_conditional
from nsp_cli.noise.estimate import luma_level

_PHOTOS = 24  # at most, whatever the folder holds
_SIDE = 256  # pixels of the middle of a photo


def quantize_by_photos(network: nn.Module, folder: Path) -> tuple[nn.Module, float]:
    """Quantize a ResUNet or a TwoScale by the ranges of its activations on photos like those that it is to denoise.

    Parameters
    ----------
    network : torch.nn.Module
        The network, which stays as it is.
    folder : Path
        Photos in this folder, of which up to 24 are used, evenly spread over their sorted names. Those that are too
        small for the network are left out with a warning.

    Returns
    -------
        The quantized network, and how much its output on these photos differs: root mean square, white = 1.

    Raises
    ------
    ModelError
        The network has another architecture.
    NoInputError
        The folder has no photos, or none that is large enough.
    InputError
        A photo cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and is_photo(path))
    if not paths:
        raise NoInputError(f"There are no photos in {folder} to calibrate with.")
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(len(paths), _PHOTOS)).round().astype(int)]
    rounded = copy.deepcopy(network)
    convolutions = quantize(rounded)
    found = {path: _middle(path, network) for path in chosen}
    tiles = [tile for tile in found.values() if tile is not None]
    if len(tiles) < len(found):
        small = ", ".join(str(path) for path, tile in found.items() if tile is None)
        if not tiles:
            raise NoInputError(f"All photos in {folder} are too small to calibrate with.")
        warnings.warn(f"Photos that are too small to calibrate with are left out: {small}.", stacklevel=2)
    with torch.no_grad():
        with calibrating(convolutions):
            exact = [rounded(tile) for tile in tiles]
        errors = [rounded(tile) - expected for tile, expected in zip(tiles, exact, strict=True)]
    return rounded, float(np.sqrt(np.mean([error.square().mean().item() for error in errors])))


def _middle(path: Path, network: nn.Module) -> Tensor | None:
    """Cut the middle out of a photo, with the planes and the multiples of sides that the network needs.

    Returns None for a photo that is smaller.
    """
    described = as_network(network)
    pixels = read_srgb(path)
    sides = [min(side, _SIDE) // described.size_multiple * described.size_multiple for side in pixels.shape[:2]]
    if not all(sides):
        return None
    top, left = ((whole - side) // 2 for whole, side in zip(pixels.shape[:2], sides, strict=True))
    crop = to_unit(pixels[top : top + sides[0], left : left + sides[1]])
    tile = torch.from_numpy(np.broadcast_to(crop, (*crop.shape[:2], 3)).transpose(2, 0, 1).copy())[None]
    if not is_noise_conditional(described):
        return tile
    level = luma_level(pixels) / 255
    return torch.cat([tile, torch.full_like(tile[:, :1], level)], 1)

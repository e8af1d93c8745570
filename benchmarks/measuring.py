"""The mean PSNR of a folder's pairs, for benchmarks that print nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsp_cli.api import denoise
from nsp_cli.backends.base import Backend
from nsp_cli.evaluation import find_pairs, psnr, to_uint8
from nsp_cli.image import read_srgb


def mean_psnr(folder: Path, backend: Backend | None) -> float:
    """Of what the backend makes of the noisy photos, or without one of the noisy photos themselves."""
    pairs = ([to_uint8(read_srgb(path)) for path in pair] for pair in find_pairs(folder, folder))
    return float(
        np.mean([psnr(denoise(a, backend=backend) if backend is not None else a, clean) for a, clean in pairs])
    )

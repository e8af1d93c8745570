"""The mean quality over a folder's pairs, for benchmarks that print nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsp_cli.api import denoise
from nsp_cli.engine.backends.base import Backend
from nsp_cli.evaluation.metrics import Scores, find_pairs, mean, psnr, score, to_uint8
from nsp_cli.image import read_srgb

Photo = NDArray[np.uint8]


def mean_psnr(folder: Path, backend: Backend | None) -> float:
    """Of what the backend makes of the noisy photos, or without one of the noisy photos themselves."""
    return float(np.mean([psnr(result, clean) for result, clean in results(folder, backend)]))


def mean_scores(folder: Path, backend: Backend | None) -> Scores:
    """As `mean_psnr`, with SSIM, which needs scikit-image."""
    return mean([score(result, clean) for result, clean in results(folder, backend)])


def results(folder: Path, backend: Backend | None) -> Iterator[tuple[Photo, Photo]]:
    """Yield each result of a backend with the clean photo, or without a backend each noisy photo."""
    for pair in find_pairs(folder, folder):
        noisy, clean = (to_uint8(read_srgb(path)) for path in pair)
        yield to_uint8(denoise(noisy, backend=backend)) if backend is not None else noisy, clean

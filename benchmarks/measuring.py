"""The mean quality over a folder's pairs, for benchmarks that print nothing else."""

from __future__ import annotations

from pathlib import Path

from nsp_cli.api import denoise
from nsp_cli.backends.base import Backend
from nsp_cli.evaluation import Scores, find_pairs, mean, score, to_uint8
from nsp_cli.image import read_srgb


def mean_scores(folder: Path, backend: Backend | None) -> Scores:
    """Of what the backend makes of the noisy photos, or without one of the noisy photos themselves."""
    pairs = ([to_uint8(read_srgb(path)) for path in pair] for pair in find_pairs(folder, folder))
    return mean([score(denoise(a, backend=backend) if backend is not None else a, clean) for a, clean in pairs])

"""Does it matter where in the sensor's mosaic a photo begins? PSNR of pairs without their first row, column, or both.

    python benchmarks/phases.py PAIRS_ROOT [-m MODEL]

A network that learned from mosaics which always begin at the same pixel is at a loss where a photo begins at another.
The same pixels are measured in all columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from timing import parser, print_table, use_threads

from nsp_cli.api import denoise, load_backend
from nsp_cli.engine.backends.base import Backend
from nsp_cli.evaluation.metrics import find_pairs, psnr, to_uint8
from nsp_cli.image import read_srgb

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def quality(folder: Path, phase: tuple[int, int], backend: Backend) -> float:
    """Mean PSNR of all but the first row and column, of photos that begin at this row and column."""
    found: list[float] = []
    for pair in find_pairs(folder, folder):
        noisy, clean = (to_uint8(read_srgb(path)) for path in pair)
        result = denoise(np.ascontiguousarray(noisy[phase[0] :, phase[1] :]), backend=backend)
        found.append(psnr(result[1 - phase[0] :, 1 - phase[1] :], clean[1:, 1:]))
    return float(np.mean(found))


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("pairs", type=Path, metavar="PAIRS_ROOT")
    flags.add_argument("-m", "--model", default="fast", help="the weights to measure (fast)")
    args = flags.parse_args()
    use_threads(args.threads)
    backend = load_backend(args.model, device=args.device)
    rows: list[list[str]] = []
    for folder in sorted(path for path in args.pairs.iterdir() if path.is_dir()):
        found = [quality(folder, phase, backend) for phase in PHASES]
        rows.append([folder.name, *(f"{value:.2f}" for value in found), f"{max(found) - min(found):.2f}"])
    print_table(["PSNR, dB", *(f"from {y}, {x}" for y, x in PHASES), "difference"], rows)


if __name__ == "__main__":
    main()

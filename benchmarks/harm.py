"""What a model does to photos that have no noise: the less the better.

    python benchmarks/harm.py CLEAN_FOLDER [-m MODEL]

PSNR of each result against its own input, on uint8, and how far the mean of each colour channel moves, of 255. A photo
that a denoiser leaves alone has a high PSNR; one whose colour it shifts has a large number in the last column.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from timing import parser, print_table, use_threads

from nsp_cli.api import denoise, load_backend
from nsp_cli.evaluation.metrics import psnr, to_uint8
from nsp_cli.image import is_photo, read_srgb


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("folder", type=Path, metavar="CLEAN_FOLDER")
    flags.add_argument("-m", "--model", help="the default that ships")
    args = flags.parse_args()
    use_threads(args.threads)
    backend = load_backend(args.model, device=args.device)
    rows: list[tuple[str, float, float]] = []
    for path in sorted(path for path in args.folder.rglob("*") if is_photo(path)):
        photo = to_uint8(read_srgb(path))
        result = denoise(photo, backend=backend)
        shift = np.abs(result.mean((0, 1)) - photo.mean((0, 1))).max()
        rows.append((path.name, psnr(result, photo), float(shift)))
    table = [[name, f"{quality:.2f}", f"{shift:.3f}"] for name, quality, shift in rows]
    table.append(
        [
            f"mean of {len(rows)}, worst shift",
            f"{np.mean([quality for _, quality, _ in rows]):.2f}",
            f"{max(shift for *_, shift in rows):.3f}",
        ]
    )
    print_table(["photo", "PSNR", "shift"], table)


if __name__ == "__main__":
    main()

"""What going over the result again is worth: AP-BSN's R3 and SDAP's second pass, with and without.

    python benchmarks/passes.py OUT

OUT is the folder of a finished `methods.py --photos`: its weights and its test photos. Printed is mean PSNR.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from timing import parser, print_table, use_threads

from nsp_cli.api import denoise, load_backend
from nsp_cli.evaluation import find_pairs, psnr, to_uint8
from nsp_cli.image import read

TESTS = {"white": "white/tests", "camera": "camera/tests", "sidd": "real/tests/sidd"}
ARENAS = {"white": "white", "camera": "camera", "sidd": "real"}
PASSES: tuple[tuple[str, str, tuple[int | bool, ...]], ...] = (
    ("apbsn", "refine", (0, 8)),
    ("sdap", "second_pass", (False, True)),
)
"""Method, its setting, and the values to compare."""


def quality(weights: Path, setting: str, value: int | bool, folder: Path, device: str) -> float:
    """Mean PSNR of a folder's pairs."""
    backend = load_backend(weights, device=device, settings={setting: value})
    pairs = [[to_uint8(read(path).pixels) for path in pair] for pair in find_pairs(folder, folder)]
    return float(np.mean([psnr(denoise(noisy, backend=backend), clean) for noisy, clean in pairs]))


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("out", type=Path, metavar="OUT")
    args = flags.parse_args()
    use_threads(args.threads)
    rows: list[list[str]] = []
    for method, setting, values in PASSES:
        for value in values:
            row = [f"{method}, {setting} = {value}"]
            for test, folder in TESTS.items():
                weights = args.out / ARENAS[test] / f"{method}.safetensors"
                row.append(f"{quality(weights, setting, value, args.out / folder, args.device):.2f}")
            rows.append(row)
    print_table(["PSNR", *TESTS], rows)


if __name__ == "__main__":
    main()

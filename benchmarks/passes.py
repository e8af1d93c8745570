"""What settings of the test time are worth: AP-BSN's R3, SDAP's second pass, and the margin of AT-BSN and APR.

    python benchmarks/passes.py OUT

OUT is the folder of a finished `methods.py --photos`: its weights and its test photos. Printed is mean PSNR, and after
the slash that of the four outer pixels of each side alone. Methods and kinds of noise that OUT lacks are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Photo, results
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.evaluation.metrics import psnr

TESTS = {
    "white": ("white", "tests"),
    "camera": ("camera", "tests"),
    "sidd": ("real", "tests/sidd"),
    "sidd_more": ("real", "tests/sidd_more"),
}
"""The name of a test, the folder in OUT of the weights, and where in it the test photos are."""

PASSES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("apbsn", {"refine": 0}),
    ("apbsn", {"refine": 8}),
    ("sdap", {"second_pass": False}),
    ("sdap", {"second_pass": True}),
    *(("apr", {"test_shift": k, "margin": margin}) for k in (1, 2) for margin in (0, 16)),
)
"""Methods and the settings to compare."""

OUTER = 4  # pixels


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("out", type=Path, metavar="OUT")
    args = flags.parse_args()
    use_threads(args.threads)
    tests = {name: test for name, test in TESTS.items() if (args.out / test[0]).is_dir()}
    rows: list[list[str]] = []
    for method, settings in PASSES:
        row = [", ".join([method, *(f"{name} = {value}" for name, value in settings.items())])]
        for arena, photos in tests.values():
            weights = args.out / arena / f"{method}.safetensors"
            if not weights.exists():
                break
            backend = load_backend(weights, device=args.device, settings=settings)
            pairs = list(results(args.out / arena / photos, backend))
            whole = np.mean([psnr(result, clean) for result, clean in pairs])
            outer = np.mean([psnr(_outer(result), _outer(clean)) for result, clean in pairs])
            row.append(f"{whole:.2f} / {outer:.2f}")
        else:
            rows.append(row)
    print_table(["PSNR / outer 4", *tests], rows)


def _outer(photo: Photo) -> Photo:
    """Return the pixels of a photo (H, W, C) that are near its border, (pixels, C)."""
    inside = np.zeros(photo.shape[:2], bool)
    inside[OUTER:-OUTER, OUTER:-OUTER] = True
    return photo[~inside]


if __name__ == "__main__":
    main()

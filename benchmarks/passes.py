"""What going over the result again is worth: AP-BSN's R3 and SDAP's second pass, with and without.

    python benchmarks/passes.py OUT

OUT is the folder of a finished `methods.py --photos`: its weights and its test photos. Printed is mean PSNR.
"""

from __future__ import annotations

from pathlib import Path

from measuring import mean_psnr
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend

TESTS = {"white": ("white", "tests"), "camera": ("camera", "tests"), "sidd": ("real", "tests/sidd")}
"""The name of a test, the folder in OUT of the weights, and where in it the test photos are."""

PASSES: tuple[tuple[str, str, tuple[int | bool, ...]], ...] = (
    ("apbsn", "refine", (0, 8)),
    ("sdap", "second_pass", (False, True)),
)
"""Method, its setting, and the values to compare."""


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("out", type=Path, metavar="OUT")
    args = flags.parse_args()
    use_threads(args.threads)
    rows: list[list[str]] = []
    for method, setting, values in PASSES:
        for value in values:
            row = [f"{method}, {setting} = {value}"]
            for arena, tests in TESTS.values():
                weights = args.out / arena / f"{method}.safetensors"
                backend = load_backend(weights, device=args.device, settings={setting: value})
                row.append(f"{mean_psnr(args.out / arena / tests, backend):.2f}")
            rows.append(row)
    print_table(["PSNR", *TESTS], rows)


if __name__ == "__main__":
    main()

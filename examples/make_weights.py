"""Train the weights that ship once more, and measure them: the recipes of weights/README.md, one step for each file.

python examples/make_weights.py PHOTOS OUT [NAME …] [--from MODEL] [--processes N]

PHOTOS has the folders clean, train and pairs. A step writes OUT/NAME.safetensors; one that was stopped goes on where it
was, and one that is done is not made again. What begins with `fast` begins with OUT's, or else with the one that ships.
At the end the models of OUT are compared on PHOTOS/pairs; nothing is chosen by that. `ship_weights.py` takes them into
weights/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from nsp_cli.training import has_run

ROOT = Path(__file__).parents[1]

FAST = "fast"
STEPS = {
    FAST: "clean --method simulated --batch 16 --minutes 180",
    "fast-research": "train --minutes 12 --keep 0.5 --lr 6.67e-4 --set own=0.6 --set nights=1",
    "fast-sr": "clean --method simulated --scale 2 --patch 384 --batch 16 --lr 1e-3 --minutes 10",
    "nsp": "train --method nsp --from scratch --minutes 60",
}
"""A folder of PHOTOS, and flags of `nsp train`; with 1e-3 and a batch of 16 in place of the preset's, one goes on."""

MEASURED = (FAST, "fast-research", "nsp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(STEPS)} (all)")
    parser.add_argument("--from", dest="start", metavar="MODEL", help="weights that `fast` begins with (new ones)")
    parser.add_argument("--processes", type=int, default=1, help="for each step, one thread or one GPU each (1)")
    parser.add_argument("--steps", type=int, help="in place of the minutes, to try this script")
    args = parser.parse_args()
    names = args.names or list(STEPS)
    if wrong := set(names) - set(STEPS):
        parser.error(f"NAME must be of {', '.join(STEPS)}, got {', '.join(sorted(wrong))}")
    args.out.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in names:
        run([*launch(args.processes), *train(name, args)], environment)
    made = [args.out / f"{name}.safetensors" for name in MEASURED if name in names]
    models = [word for file in made for word in ("-m", file)]
    if models and (args.photos / "pairs").is_dir():
        run([ROOT / "benchmarks/quality.py", args.photos / "pairs", "--only", "models", *models], environment)


def launch(processes: int) -> list[str]:
    """What `python` runs to train."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*(many if processes > 1 else []), "-m", "nsp_cli", "train"]


def train(name: str, args: argparse.Namespace) -> list[str | Path]:
    """The arguments of `nsp train` for this step."""
    folder, *flags = STEPS[name].split()
    target: Path = args.out / f"{name}.safetensors"
    begin: list[str | Path] = [args.photos / folder, "-o", target]
    if has_run(target.with_suffix(".run")):
        return [*begin, "--resume"]
    if args.steps:
        minutes = flags.index("--minutes")
        flags[minutes : minutes + 2] = ["--steps", str(args.steps)]
    fast = args.out / f"{FAST}.safetensors"
    if name.startswith(f"{FAST}-"):
        flags += ["--from", str(fast if fast.exists() else FAST)]
    elif name == FAST:
        flags += ["--from", args.start, "--lr", "1e-3"] if args.start else ["--from", "scratch"]
    return [*begin, *flags]


def run(arguments: list[str | Path], environment: dict[str, str]) -> None:
    print("python", *arguments, flush=True)
    done = subprocess.run([sys.executable, *arguments], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()

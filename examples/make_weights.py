"""Train the models that ship again and measure them, one step for each file.

python examples/make_weights.py PHOTOS OUT [NAME …] [--from MODEL] [--processes N]

PHOTOS has the folders clean, train and pairs. A step writes OUT/NAME.safetensors. The same command continues after
Ctrl-C, and after a crash: the step that was stopped goes on where its state was saved last, and one that is done is not
made again. `fast` begins with new weights, or with MODEL; the steps that begin with `fast` take OUT's, or else MODEL,
or else the one that ships. `quick` has two scales and learns from `fast`. `nsp-student-first` learns from OUT's `nsp`,
or else the one that ships; `nsp-student` begins with `nsp-student-first`, and learns from its outputs. `fast-research`
is trained on PHOTOS/train/dnd with the outputs of the `best` that ships as targets. The steps with int8 in their names
train with simulated rounding, and come last; that of `quick` writes float weights, too: OUT/int8/quick.safetensors.
At the end the denoisers among the weights are compared on PHOTOS/pairs; nothing is chosen by that. `ship_weights.py`
takes them into weights/, and `quantize_weights.py --ship` the int8 graphs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image

from nsp_cli.training import has_run
from nsp_cli.training.data import NOISY

ROOT = Path(__file__).parents[1]

FAST, QUICK, RESEARCH, FIRST, STUDENT = "fast", "quick", "fast-research", "nsp-student-first", "nsp-student"
_CROP, _CROPS = 480, 2  # pixels, and crops of a photo: a slow teacher takes hours for whole ones
STEPS = {
    FAST: "PHOTOS/clean --method simulated --batch 16 --minutes 180",
    RESEARCH: "OUT/pairs --method simulated --steps 200 --lr 6e-4 --keep 0.5",
    "fast-sr": "PHOTOS/clean --method simulated --scale 2 --patch 384 --batch 16 --lr 1e-3 --minutes 10",
    "nsp": "PHOTOS/train --method nsp --from scratch --minutes 60",
    FIRST: "OUT/crops --method rd --network resunet --from scratch --set coarse_chroma=true --teacher-views 4 "
    "--minutes 75",
    STUDENT: "PHOTOS/train/dnd --method rd --network resunet --teacher-views 8 --set recharge=false --batch 8 "
    "--patch 128 --steps 200 --lr 6e-4 --optimizer muon",
}
"""Arguments of `nsp train`."""

TWO_SCALES = {QUICK: (FAST, "PHOTOS/clean OUT/scales --steps 10000")}
"""The weights of the teacher and the other arguments of `two_scale_weights.py`."""

ROUNDED = {
    "fast-int8": (FAST, "PHOTOS/clean OUT/stage1 --steps 1600 --lr 2e-4"),
    "fast-int8-end": (FAST, "PHOTOS/clean OUT/stage2 --from OUT/stage1/fast-int8.state --seed 3 --steps 700 --lr 5e-5"),
    "quick-int8": (QUICK, "PHOTOS/clean OUT/int8 --steps 4800 --lr 5e-4 --muon"),
    "fast-research-int8": (RESEARCH, "PHOTOS/clean OUT/int8 --steps 400 --lr 5e-5"),
    "fast-sr-int8": ("fast-sr", "PHOTOS/clean OUT/int8 --steps 600 --lr 5e-5"),
}
"""The weights of each step and the other arguments of `quantize_weights.py`."""

NAMES = [*STEPS, *TWO_SCALES, *ROUNDED]

MEASURED = (FAST, QUICK, RESEARCH, "nsp", STUDENT)

NEEDED = {FIRST: "train", RESEARCH: "train/dnd"}
"""Folders of photos that are not among a step's arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (all)")
    parser.add_argument("--from", dest="start", metavar="MODEL", help="weights to begin with")
    parser.add_argument(
        "--processes", type=int, default=1, help="for each step without int8, one thread or one GPU each (1)"
    )
    parser.add_argument("--steps", type=int, help="in place of each step's own budget, to try this script")
    args = parser.parse_args()
    chosen = {*args.names} or {*NAMES}
    if wrong := chosen - {*NAMES}:
        parser.error(f"NAME must be of {', '.join(NAMES)}, got {', '.join(sorted(wrong))}")
    names = [name for name in STEPS if name in chosen]
    if STUDENT in names and FIRST not in names and not (args.out / f"{FIRST}.safetensors").exists():
        parser.error(f"{STUDENT} begins with {FIRST}; name both")
    for folder in sorted(photo_folders(chosen)):
        if not (args.photos / folder).is_dir():
            parser.error(f"the chosen steps need the folder {args.photos / folder}")
    args.out.mkdir(parents=True, exist_ok=True)
    lock = locked(args.out / "lock")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    if FIRST in names and not (args.out / "crops").is_dir():
        cut_crops(args.photos / "train", args.out / "crops")
    if RESEARCH in names:
        noisy = args.out / "pairs" / NOISY
        shutil.copytree(args.photos / "train/dnd", noisy, dirs_exist_ok=True)
        denoise: list[str | Path] = ["-m", "nsp_cli", "denoise", noisy, noisy.parent, "-m", "best"]
        run([*denoise, "--if-exists", "skip"], environment, lock)
    for name in names:
        run([*launch(args.processes), *train(name, args)], environment, lock)
    for name in (name for name in TWO_SCALES if name in chosen):
        run([ROOT / "examples/two_scale_weights.py", *learn(name, *TWO_SCALES[name], args)], environment, lock)
        shutil.copyfile(args.out / "scales/two-scale.safetensors", args.out / f"{name}.safetensors")
    for name in (name for name in ROUNDED if name in chosen):
        run([ROOT / "examples/quantize_weights.py", *learn(name, *ROUNDED[name], args)], environment, lock)
    made = [args.out / f"{name}.safetensors" for name in MEASURED if name in chosen]
    models = [word for file in made for word in ("-m", file)]
    if models and (args.photos / "pairs").is_dir():
        run([ROOT / "benchmarks/quality.py", args.photos / "pairs", "--only", "models", *models], environment, lock)


def photo_folders(chosen: set[str]) -> set[str]:
    """Return the folders of PHOTOS that the chosen steps need."""
    lines = [*STEPS.items(), *((name, line) for name, (_, line) in (TWO_SCALES | ROUNDED).items())]
    words = {word for name, line in lines if name in chosen for word in line.split()}
    named = {word.removeprefix("PHOTOS/") for word in words if word.startswith("PHOTOS/")}
    return named | {folder for name, folder in NEEDED.items() if name in chosen}


def launch(processes: int) -> list[str]:
    """What `python` runs to train."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*(many if processes > 1 else []), "-m", "nsp_cli", "train"]


def train(name: str, args: argparse.Namespace) -> list[str | Path]:
    """The arguments of `nsp train` for this step."""
    root, *flags = STEPS[name].split()
    place, inside = root.split("/", 1)
    folder = {"PHOTOS": args.photos, "OUT": args.out}[place] / inside
    target: Path = args.out / f"{name}.safetensors"
    begin: list[str | Path] = [folder, "-o", target]
    if has_run(target.with_suffix(".run")):
        return [*begin, "--resume"]
    if args.steps:
        budget = flags.index("--minutes" if "--minutes" in flags else "--steps")
        flags[budget : budget + 2] = ["--steps", str(args.steps)]
    fast = args.out / f"{FAST}.safetensors"
    if name == FAST:
        flags += ["--from", args.start, "--lr", "1e-3"] if args.start else ["--from", "scratch"]
    elif name == FIRST:
        teacher = args.out / "nsp.safetensors"
        flags += ["--teacher", str(teacher if teacher.exists() else "nsp")]
    elif name == STUDENT:
        first = str(args.out / f"{FIRST}.safetensors")
        flags += ["--from", first, "--teacher", first]
    elif name != "nsp":
        flags += ["--from", str(fast if fast.exists() else args.start or FAST)]
    return [*begin, *flags]


def learn(name: str, weights: str, line: str, args: argparse.Namespace) -> list[str | Path]:
    """The arguments of a script that trains a network to agree with the one of `weights`."""
    made = args.out / f"{weights}.safetensors"
    places = {"PHOTOS": args.photos, "OUT": args.out}
    words = [word.split("/", 1) for word in line.split()]
    flags: list[str | Path] = [places[a] / b[0] if a in places else "/".join([a, *b]) for a, *b in words]
    if args.steps:
        flags[flags.index("--steps") + 1] = str(args.steps)
        flags += ["--batches", str(args.steps)] if name in TWO_SCALES else []
    pool = args.out / "scales/pool"
    if name in ROUNDED and weights in TWO_SCALES and pool.is_dir():
        flags += ["--pool", pool]
    begin = args.start if weights == FAST and args.start else ROOT / "weights" / made.name
    return [made if made.exists() else begin, *flags]


def cut_crops(source: Path, target: Path) -> None:
    """Cut square crops of each noisy photo at random, without loss, from the corners of JPEG's blocks."""
    rng, unfinished = random.Random(0), target.with_name("crops.part")
    unfinished.mkdir(exist_ok=True)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        with Image.open(path) as photo:
            for index in range(_CROPS):
                x, y = (8 * rng.randrange(max(side - _CROP, 0) // 8 + 1) for side in photo.size)
                crop = photo.crop((x, y, min(x + _CROP, photo.width), min(y + _CROP, photo.height))).convert("RGB")
                crop.save(unfinished / f"{path.parent.name}_{path.stem}_{index}.png")
    unfinished.rename(target)


def locked(path: Path) -> int:
    """Lock a file for this process and those that it starts, which may outlive it, and return its descriptor."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"{path.parent} is in use by another make_weights.py, or by a training that one has left running.")
    return lock


def run(arguments: list[str | Path], environment: dict[str, str], lock: int) -> None:
    print("python", *arguments, flush=True)
    command = subprocess.Popen([sys.executable, *arguments], env=environment, pass_fds=[lock])
    # Ctrl-C reaches both of us, and a training ends after its step: wait for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: command.terminate())
    if code := command.wait():
        sys.exit(code if code > 0 else 128 - code)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    main()

"""Does `nsp train` on a photographer's own noisy photos help there, and what does it cost elsewhere?

    python benchmarks/adapting.py CLEAN_FOLDER OUT [-m MODEL] [--adapt nsp] [--minutes 10] [--pairs PAIRS_ROOT]

A camera with noise of its own (`CAMERA`) photographs the clean photos: the even ones to learn from, the odd ones
to measure with. The command learns from the noisy ones alone, as a photographer's would:

    nsp train OUT/noisy --from MODEL -o OUT/own.safetensors --minutes 10

Printed is PSNR before and after, on the odd photos and on each folder of real pairs in PAIRS_ROOT. A model that learned
from CLEAN_FOLDER was trained on these scenes, before as after. What OUT holds is not made again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from measuring import mean_psnr
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.evaluation.metrics import to_uint8
from nsp_cli.image import Frame, from_unit, is_photo, read_srgb, to_unit, write
from nsp_cli.simulation.camera import GRADIENT, Camera, simulate

CAMERA = Camera(
    shot_gain=4e-3,
    read_noise=8e-3,
    demosaic=GRADIENT,
    saturation=1.6,
    luma_smoothing=0.7,
    chroma_smoothing=1.5,
    sharpening=0.8,
    jpeg_quality=93,
)


def photograph(clean: Path, out: Path) -> None:
    """Write OUT/noisy, and OUT/test with pairs."""
    for name in ("noisy", "test"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(sorted(path for path in clean.rglob("*") if is_photo(path))):
        photo = to_unit(to_uint8(read_srgb(path)))
        noisy, target = (Frame(from_unit(p, np.uint8)) for p in simulate(photo, CAMERA, np.random.default_rng(i)))
        if i % 2 == 0:
            write(noisy, out / "noisy" / f"{i:03d}.png", overwrite=True)
        else:
            write(noisy, out / "test" / f"{i:03d}_noisy.png", overwrite=True)
            write(target, out / "test" / f"{i:03d}_clean.png", overwrite=True)


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("clean", type=Path, metavar="CLEAN_FOLDER")
    flags.add_argument("out", type=Path, metavar="OUT")
    flags.add_argument("-m", "--model", default="fast", help="the weights to start from (fast)")
    flags.add_argument(
        "--adapt", choices=("cameras", "nsp"), default="cameras", help="as of nsp train; nsp takes 60 steps (cameras)"
    )
    flags.add_argument("--minutes", type=float, default=10.0, help="of learning (10)")
    flags.add_argument("--pairs", type=Path, metavar="PAIRS_ROOT", help="real pairs, a folder for each set")
    args = flags.parse_args()
    use_threads(args.threads)
    if not (args.out / "test").is_dir():
        photograph(args.clean, args.out)
    own = args.out / ("own.safetensors" if args.adapt == "cameras" else "own-nsp.safetensors")
    if not own.exists():
        command = [sys.executable, "-m", "nsp_cli", "train", args.out / "noisy", "--from", args.model]
        command += ["-o", own, "--adapt", args.adapt, "--device", args.device]
        command += ["--minutes", args.minutes] if args.adapt == "cameras" else []
        subprocess.run(list(map(str, command)), check=True)
    sets = {"the camera's own": args.out / "test"}
    if args.pairs:
        sets |= {path.name: path for path in sorted(args.pairs.iterdir()) if path.is_dir()}
    before, after = (load_backend(model, device=args.device) for model in (args.model, own))
    rows: list[list[str]] = []
    for name, folder in sets.items():
        noisy, was, now = (mean_psnr(folder, backend) for backend in (None, before, after))
        rows.append([name, f"{noisy:.2f}", f"{was:.2f}", f"{now:.2f}", f"{now - was:+.2f}"])
    print_table(["PSNR", "noisy", "before", "after", "gain"], rows)


if __name__ == "__main__":
    main()

"""Peak resident memory of a whole `nsp denoise` or `nsp sr`, in MB and as a multiple of the photo's own float32 size.

    python benchmarks/memory.py [--megapixels 1 12 24 100] [--formats png8 png16 tiff8 tiff16 tiff32] [-m MODEL] [--sr]

Each row is a process of its own: the interpreter, the libraries, the file's bytes, input, output and one tile. By
default it runs a tiny network whose tiles need as much memory a pixel as those of `--width` channels. Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from timing import print_table

from nsp_cli.image import Frame, from_unit, write
from nsp_cli.model.checkpoint import save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

_FORMATS = {
    "png8": (".png", np.uint8),
    "png16": (".png", np.uint16),
    "tiff8": (".tiff", np.uint8),
    "tiff16": (".tiff", np.uint16),
    "tiff32": (".tiff", np.float32),
}

# Runs a command and prints its seconds and its peak. A process of its own, and a small one: what a child is counted
# with includes the peak of the process that started it.
_WATCH = """
import json, resource, subprocess, sys, time
started = time.monotonic()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([status, time.monotonic() - started, peak]))
"""


def tiny_model(folder: Path, width: int) -> Path:
    """Random weights: what they compute is of no matter here."""
    arguments = {"width": width, "depth": 1, "residual": True, "scale": 2}
    spec = ModelSpec("dbsn", arguments, "nsp", {"strategy": "canonical"})
    save_model(build_network("dbsn", arguments), spec, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def make_photo(target: Path, megapixels: float, dtype: type[np.generic]) -> tuple[int, int]:
    """Write a noisy photo with sides of 3:2 and return (height, width)."""
    rng = np.random.default_rng(0)
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    noisy, _ = simulate(sample_picture(512, 768, rng), Camera(), rng)
    piece = from_unit(noisy, dtype)
    pixels = np.tile(piece, (-(-height // 512), -(-width // 768), 1))[:height, :width]
    write(Frame(np.ascontiguousarray(pixels)), target)
    return height, width


def measure(task: str, photo: Path, result: Path, model: str) -> tuple[float, float]:
    """Seconds and peak bytes of one `nsp denoise` or `nsp sr`. Exits where it fails."""
    command = [sys.executable, "-m", "nsp_cli", task, str(photo), str(result), "-m", model, "--quiet"]
    watched = subprocess.run([sys.executable, "-c", _WATCH, *command], stdout=subprocess.PIPE, text=True, check=True)
    status, seconds, peak = json.loads(watched.stdout)
    if status:
        raise SystemExit(f"nsp {task} ended with {status} for {photo.name}.")
    return seconds, peak


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--megapixels", type=float, nargs="+", default=[1, 12, 24])
    flags.add_argument("--formats", nargs="+", choices=list(_FORMATS), default=list(_FORMATS))
    flags.add_argument("-m", "--model", help="a real model instead of the tiny one; slow on large photos")
    flags.add_argument("--width", type=int, default=8, help="channels of the tiny network (%(default)s)")
    flags.add_argument(
        "--sr", action="store_true", help="of `nsp sr`, against the size of the photo, not of the result"
    )
    args = flags.parse_args()
    task = "sr" if args.sr else "denoise"
    rows: list[list[str]] = []
    over = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or str(tiny_model(folder, args.width))
        for megapixels in args.megapixels:
            for kind in args.formats:
                suffix, dtype = _FORMATS[kind]
                photo, result = folder / f"photo{suffix}", folder / f"result{suffix}"
                height, width = make_photo(photo, megapixels, dtype)
                seconds, peak = measure(task, photo, result, model)
                multiple = peak / (height * width * 3 * 4)
                over |= megapixels >= 100 and multiple >= 3 and not args.sr
                rows.append([f"{megapixels:g} MP, {kind}", f"{peak / 1e6:.0f}", f"{multiple:.2f}×", f"{seconds:.0f}"])
                photo.unlink()
                result.unlink()
    print_table([args.model or f"tiny network, {args.width} channels", "peak MB", "of float32 size", "seconds"], rows)
    if over:
        raise SystemExit("A photo of 100 megapixels needs three times its own float32 size or more.")


if __name__ == "__main__":
    main()

"""Megapixels a second of `engine.process` by backend, precision and tile size, and how far the results are apart.

    python benchmarks/inference.py [-m MODEL] [--megapixels 1] [--tiles 128 256 512 1024]

The photo is a synthetic scene with simulated camera noise. Differences are the largest of any value from torch in fp32
with the largest tile, in steps of an 8-bit photo; a float32 row that is off by more than an export may be is an error.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import failure, interleave, parser, print_table, use_threads

from nsp_cli.api import export, load_model
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.backends.device import Precision, choose_device
from nsp_cli.engine.backends.onnx_backend import OnnxBackend
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.export.onnx_file import TOLERANCE
from nsp_cli.engine.process import process
from nsp_cli.image import Frame
from nsp_cli.methods import build_method
from nsp_cli.model.spec import Task
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

_REFERENCE = "torch, fp32"
_FLOAT32 = (_REFERENCE, "torch compiled, fp32", "onnxruntime, fp32")


def noisy_photo(megapixels: float) -> Frame:
    """A square float32 photo, so that no rounding hides a difference between backends."""
    rng = np.random.default_rng(0)
    side = round((megapixels * 1e6) ** 0.5)
    return Frame(simulate(sample_picture(side, side, rng), Camera(), rng)[0])


def open_backends(
    model: str, device: torch.device, precisions: list[Precision], threads: int, *, compiled: bool
) -> dict[str, Backend]:
    """Every way to run a model on this machine, torch in float32 first."""

    def torch_backend(precision: Precision, *, compile: bool) -> TorchBackend:
        network, spec = load_model(model)
        pipeline = build_method(spec.method, spec.method_args).pipeline(network, Task.DENOISE, spec.channels)
        return TorchBackend(pipeline, device, precision, compile)  # pyright: ignore[reportArgumentType]

    backends: dict[str, Backend] = {}
    for kind in ("torch", "torch compiled") if compiled else ("torch",):
        for precision in precisions:
            backend = torch_backend(precision, compile=kind != "torch")
            small = np.zeros((1, backend.spec.planes, 64, 64), np.float32)
            if kind != "torch" and (reason := failure(partial(backend.run, small))) is not None:
                print(f"Left out: {kind}, {precision}: {reason}\n")
            else:
                backends[f"{kind}, {precision}"] = backend
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(model, file)
        backends["onnxruntime, fp32"] = OnnxBackend(file, device.type, threads)
    return backends


def main() -> None:
    flags = parser(__doc__, repeats=3)
    flags.add_argument("-m", "--model", default="fast", help="a name of `nsp models` or a .safetensors file (fast)")
    flags.add_argument("--megapixels", type=float, default=1024**2 / 1e6, help="size of the photo (1024x1024)")
    flags.add_argument("--tiles", type=int, nargs="+", default=[128, 256, 512, 1024])
    flags.add_argument("--precisions", type=Precision, nargs="+", default=[Precision.FP32, Precision.BF16])
    flags.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    args = flags.parse_args()
    use_threads(args.threads)
    device = choose_device(args.device)
    photo = noisy_photo(args.megapixels)
    precisions = [Precision.FP32, *(p for p in args.precisions if p is not Precision.FP32)]
    backends = open_backends(args.model, device, precisions, args.threads, compiled=not args.no_compile)
    tiles = sorted(args.tiles, reverse=True)
    results: dict[str, np.ndarray] = {}

    def run(name: str, backend: Backend, tile: int) -> None:
        results[name] = process(photo, backend, tile=tile).pixels

    calls = {
        f"{name}, tile {tile}": partial(run, f"{name}, tile {tile}", backend, tile)
        for name, backend in backends.items()
        for tile in tiles
    }
    times = interleave(calls, args.repeats, device, args.clock)
    reference = next(iter(calls))
    apart = {name: float(np.abs(result - results[reference]).max()) for name, result in results.items()}
    height, width = photo.size
    print_table(
        [f"{height}x{width}", "MP/s", "faster", "largest difference, /255"],
        [
            [
                name,
                f"{photo.megapixels / times.median(name):.4f}",
                f"{times.ratio(name, reference):.2f}×",
                f"{255 * apart[name]:.4f}",
            ]
            for name in calls
        ],
    )
    wrong = [name for name in calls if name.startswith(_FLOAT32) and not apart[name] <= TOLERANCE]
    if wrong:
        raise SystemExit(f"More than {TOLERANCE:.0e} from {reference}: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()

"""nsp beside other denoisers on the same noisy picture: CPU seconds a megapixel, PSNR and peak memory.

    python benchmarks/peers.py [--side 512] [--threads 1] [--only NAME …] [--photo NOISY CLEAN]

The picture is a synthetic scene with simulated camera noise, or a pair of photos. Each denoiser has its own process;
peak memory includes the interpreter. The time is that of the denoiser alone, after a run on a small piece; for
darktable-cli and gmic it is that of their whole process. Denoisers with a noise level get the one that `nsp inspect`
measures; OpenCV's strength is the best for this picture, which is an upper bound. What is not installed is left out.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from argparse import SUPPRESS
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timing import parser, print_table

from nsp_cli.evaluation.metrics import psnr, to_uint8
from nsp_cli.image import Frame, from_unit, read, to_unit, write
from nsp_cli.noise.estimate import luma_level
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

Photo = NDArray[np.uint8]
Denoiser = Callable[[Photo], Photo]

_CAMERA = Camera(shot_gain=3e-3, read_noise=8e-3)
_STRENGTHS = (3, 5, 7, 10, 15)  # of OpenCV's non-local means
_PIECE = 64  # side of the piece that warms up
_MEGABYTE = 1e6 / (1 if sys.platform == "darwin" else 1024)  # of `ru_maxrss`

_DARKTABLE = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:darktable="http://darktable.sf.net/" darktable:xmp_version="5"
 darktable:history_end="1" darktable:auto_presets_applied="1"><darktable:history><rdf:Seq><rdf:li darktable:num="0"
 darktable:operation="nlmeans" darktable:enabled="1" darktable:modversion="2" darktable:params="{parameters}"
 darktable:multi_priority="0"/></rdf:Seq></darktable:history></rdf:Description></rdf:RDF></x:xmpmeta>"""
"""A history of one module, "astrophoto denoise": non-local means with radius, strength, luma and chroma."""


def nsp(precision: str, model: str = "fast") -> Denoiser:
    """A model that ships, on the CPU."""
    from nsp_cli.api import denoise, load_backend

    backend = load_backend(model, device="cpu", precision=precision)
    return lambda noisy: denoise(noisy, backend=backend)


def non_local_means(strength: int) -> Denoiser:
    """OpenCV's, for luma and chroma alike."""
    import cv2

    def run(noisy: Photo) -> Photo:
        bgr = np.ascontiguousarray(noisy[..., ::-1])
        result = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 7, 21)
        return np.ascontiguousarray(result[..., ::-1]).astype(np.uint8, copy=False)

    return run


def block_matching() -> Denoiser:
    """BM3D of its authors (the package bm3d)."""
    from bm3d import bm3d_rgb  # pyright: ignore[reportMissingImports]

    def run(noisy: Photo) -> Photo:
        return _encoded(bm3d_rgb(to_unit(noisy), max(luma_level(noisy), 0.5) / 255))

    return run


def wavelets() -> Denoiser:
    """scikit-image's BayesShrink in YCbCr."""
    from skimage.restoration import denoise_wavelet

    return lambda noisy: _encoded(denoise_wavelet(to_unit(noisy), channel_axis=2, convert2ycbcr=True))


def gmic() -> Denoiser:
    """G'MIC's patch-based `denoise`, its standard deviation in tone the measured one."""
    return lambda noisy: _by_command(noisy, lambda a, b: ["gmic", a, "denoise", f"5,{luma_level(noisy):.1f}", "-o", b])


def darktable() -> Denoiser:
    """darktable's non-local means ("astrophoto denoise"), its strength the default."""
    history = _DARKTABLE.format(parameters=struct.pack("<4f", 2, 50, 0.5, 1).hex())

    def run(noisy: Photo) -> Photo:
        with tempfile.TemporaryDirectory() as folder:
            steps = Path(folder) / "steps.xmp"
            steps.write_text(history, encoding="utf-8")
            settings = ["--core", "--configdir", folder, "--library", ":memory:"]
            return _by_command(noisy, lambda a, b: ["darktable-cli", a, str(steps), b, *settings])

    return run


def _encoded(picture: NDArray[np.floating]) -> Photo:
    return to_uint8(from_unit(np.clip(picture, 0, 1).astype(np.float32), np.uint8))


def _by_command(noisy: Photo, command: Callable[[str, str], list[str]]) -> Photo:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "noisy.png", Path(folder) / "result.png"
        write(Frame(noisy), source)
        subprocess.run(command(str(source), str(target)), check=True, capture_output=True)
        return to_uint8(read(target).pixels)


DENOISERS: dict[str, Callable[[], Denoiser]] = {
    **{f"nsp fast, {precision}": (lambda p=precision: nsp(p)) for precision in ("int8", "bf16", "fp32")},
    "nsp best": lambda: nsp("auto", "best"),
    **{f"OpenCV non-local means, h {h}": (lambda h=h: non_local_means(h)) for h in _STRENGTHS},
    "BM3D": block_matching,
    "scikit-image wavelets": wavelets,
    "gmic denoise": gmic,
    "darktable astrophoto denoise": darktable,
}
_NEEDS = {"BM3D": "bm3d", "scikit-image wavelets": "skimage"}
_COMMANDS = {"gmic denoise": "gmic", "darktable astrophoto denoise": "darktable-cli"}


def missing(name: str) -> bool:
    """Return whether a denoiser is not installed."""
    package, command = _NEEDS.get(name), _COMMANDS.get(name)
    return (package is not None and find_spec(package) is None) or (command is not None and not shutil.which(command))


def run_alone(name: str, folder: Path) -> None:
    """Denoise folder/noisy.npy, and print the CPU seconds and the peak memory in MB."""
    noisy = np.load(folder / "noisy.npy")
    denoiser = DENOISERS[name]()
    denoiser(np.ascontiguousarray(noisy[:_PIECE, :_PIECE]))
    started = sum(os.times()[:4])  # CPU seconds of this process and of its children: the machine may have other work
    result = denoiser(noisy)
    seconds = sum(os.times()[:4]) - started
    np.save(folder / "result.npy", result)
    whose = resource.RUSAGE_CHILDREN if name in _COMMANDS else resource.RUSAGE_SELF
    print(json.dumps([seconds, resource.getrusage(whose).ru_maxrss / _MEGABYTE]))


def measure(name: str, folder: Path, clean: Photo, threads: int) -> tuple[float, float, float] | None:
    """Seconds, PSNR and megabytes; None if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)} if threads else dict(os.environ)
    limit = ["taskset", "-c", f"0-{threads - 1}"] if threads and shutil.which("taskset") else []
    command = [*limit, sys.executable, __file__, "--alone", name, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Left out: {name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}\n")
        return None
    seconds, megabytes = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds, psnr(np.load(folder / "result.npy"), clean), megabytes


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--side", type=int, default=512, help="of the synthetic scene in pixels (%(default)s)")
    flags.add_argument(
        "--photo", type=Path, nargs=2, metavar=("NOISY", "CLEAN"), help="in place of the synthetic scene"
    )
    flags.add_argument("--only", nargs="+", choices=list(DENOISERS), default=list(DENOISERS))
    flags.add_argument("--alone", help=SUPPRESS)
    flags.add_argument("--folder", type=Path, help=SUPPRESS)
    args = flags.parse_args()
    if args.alone:
        run_alone(args.alone, args.folder)
        return
    if args.photo:
        noisy, clean = (to_uint8(read(path).pixels) for path in args.photo)
    else:
        rng = np.random.default_rng(0)
        noisy, clean = map(_encoded, simulate(sample_picture(args.side, args.side, rng), _CAMERA, rng))
    megapixels = noisy.shape[0] * noisy.shape[1] / 1e6
    rows = [["noisy", "", f"{psnr(noisy, clean):.2f}", ""]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "noisy.npy", noisy)
        found = {name: measure(name, folder, clean, args.threads) for name in args.only if not missing(name)}
    strengths = [name for name in found if name.startswith("OpenCV") and found[name]]
    worse = set(sorted(strengths, key=lambda name: found[name][1])[:-1])  # pyright: ignore[reportOptionalSubscript]
    rows += [
        [name, f"{figures[0] / megapixels:.2f}", f"{figures[1]:.2f}", f"{figures[2]:.0f}"]
        for name, figures in found.items()
        if figures and name not in worse
    ]
    height, width = noisy.shape[:2]
    print_table([f"{height}x{width}, {args.threads or os.cpu_count()} thread(s)", "CPU s/MP", "PSNR", "peak MB"], rows)


if __name__ == "__main__":
    main()

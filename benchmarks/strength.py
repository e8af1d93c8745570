"""What `--strength auto` loses against knowing the best strength, on simulated camera noise over clean photos.

Every photo gets the noise of random cameras (`simulation.camera.random_camera`), its noise is estimated on the whole
photo, and a crop from its middle is denoised. The error of any mix of noisy and denoised is a parabola in the strength,
so the best one is known exactly. "noise alone" is σ² / (σ² + b²) with the b that loses least here.

    python benchmarks/strength.py CLEAN_FOLDER [--model NAME] [--cameras 4] [--crop 192]
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.auto_strength import auto_strength, mean_square_change
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, is_photo, read, to_unit
from nsp_cli.noise.estimate import NoiseEstimate, estimate
from nsp_cli.simulation.camera import random_camera, simulate

EDGES = (0, 1, 2, 3, 5, 8, 12, 20, 255)


@dataclass(frozen=True)
class Trial:
    """One photo by one camera: the estimate, and error(w) = noisy − 2·w·cross + w²·change, in 8-bit units squared."""

    noise: NoiseEstimate
    noisy: float
    cross: float
    change: float
    change_in_luma: float

    @property
    def auto(self) -> float:
        return auto_strength(self.noise, self.change_in_luma) / 100

    def noise_alone(self, blur: float) -> float:
        return self.noise.luma**2 / (self.noise.luma**2 + blur**2)

    @property
    def best(self) -> float:
        return float(np.clip(self.cross / max(self.change, 1e-9), 0, 1))

    def psnr(self, share: float) -> float:
        error = self.noisy - 2 * share * self.cross + share**2 * self.change
        return float(10 * np.log10(255**2 / max(error, 1e-9)))


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("folder", type=Path, help="clean photos, searched to the bottom")
    flags.add_argument("--model", help="default: the one that ships")
    flags.add_argument("--cameras", type=int, default=4, help="random cameras for each photo (%(default)s)")
    flags.add_argument("--crop", type=int, default=192, help="side of what is denoised, in pixels (%(default)s)")
    args = flags.parse_args()
    use_threads(args.threads)
    backend = load_backend(args.model, device=args.device)
    rng = np.random.default_rng(0)
    trials: list[Trial] = []
    for path in sorted(p for p in args.folder.rglob("*") if is_photo(p)):
        clean = to_unit(read(path).pixels)
        if clean.shape[2] == 3:
            trials += [trial(clean, backend, rng, args.crop) for _ in range(args.cameras)]
    report(trials)


def trial(clean: NDArray[np.float32], backend: Backend, rng: np.random.Generator, side: int) -> Trial:
    noisy, target = simulate(clean, random_camera(rng), rng)
    eight = np.rint(noisy * 255).astype(np.uint8)
    top, left = (max(length - side, 0) // 2 for length in clean.shape[:2])
    middle = (slice(top, top + side), slice(left, left + side))
    found = estimate(eight)
    denoised = process(Frame(eight[middle]), backend, Blend(noise=found.luma)).pixels
    before, after, truth = (255 * to_unit(pixels) for pixels in (eight[middle], denoised, target[middle]))
    noise, change = before - truth, before - after
    alone, cross, changed = (float(np.mean(x)) for x in (noise**2, noise * change, change**2))
    return Trial(found, alone, cross, changed, mean_square_change(Frame(eight), backend, found.luma))


def loss(trials: list[Trial], shares: list[float]) -> str:
    """Mean and largest PSNR lost against the best strength of every trial, in dB."""
    lost = [t.psnr(t.best) - t.psnr(share) for t, share in zip(trials, shares, strict=True)]
    return f"{np.mean(lost):.2f} dB, at most {max(lost):.1f} dB"


def report(trials: list[Trial]) -> None:
    rows: list[list[str]] = []
    for low, high in pairwise(EDGES):
        some = [t for t in trials if low <= t.noise.luma < high]
        if some:
            psnrs = np.mean([[t.psnr(w) for w in (0.0, 1.0, t.auto, t.best)] for t in some], 0)
            quartiles = [
                np.quantile([100 * w for w in ws], (0.25, 0.5, 0.75))
                for ws in zip(*((t.best, t.auto) for t in some), strict=True)
            ]
            spread = [f"{q[1]:.0f} ({q[0]:.0f}–{q[2]:.0f})" for q in quartiles]
            rows.append([f"{low}–{high}", str(len(some)), *spread, *(f"{p:.2f}" for p in psnrs)])
    header = ["estimated luma noise", "trials", "best", "auto", "noisy, dB", "100, dB", "auto, dB", "best, dB"]
    print_table(header, rows)
    blurs = [float(b) for b in np.geomspace(0.2, 20, 100)]
    blur = max(blurs, key=lambda b: sum(t.psnr(t.noise_alone(b)) for t in trials))
    print(f"\nlost against the best: auto {loss(trials, [t.auto for t in trials])}")
    print(f"noise alone, b = {blur:.1f}: {loss(trials, [t.noise_alone(blur) for t in trials])}")
    print(f"always 100: {loss(trials, [1.0] * len(trials))}; always 0: {loss(trials, [0.0] * len(trials))}")


if __name__ == "__main__":
    main()

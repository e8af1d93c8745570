"""The best strength against the estimated noise, on simulated camera noise over clean photos, and `strength.BLUR`.

Every photo is photographed by random cameras (`simulation.random_camera`), its noise is estimated on the whole photo,
and a crop from its middle is denoised. The error of any mix of noisy and denoised is a parabola in the strength, so the
best one is known exactly. The constant is the one that loses least PSNR against always knowing the best.

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
from nsp_cli.backends.base import Backend
from nsp_cli.engine import process
from nsp_cli.image import Frame, is_photo, read, to_unit
from nsp_cli.noise import NoiseEstimate, estimate
from nsp_cli.simulation import random_camera, simulate
from nsp_cli.strength import BLUR, auto_strength

EDGES = (0, 1, 2, 3, 5, 8, 12, 20, 255)


@dataclass(frozen=True)
class Trial:
    """One photo by one camera: the estimate, and error(w) = noisy − 2·w·cross + w²·change, in 8-bit units squared."""

    noise: NoiseEstimate
    noisy: float
    cross: float
    change: float

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
    before, after, truth = (
        255 * to_unit(pixels)
        for pixels in (eight[middle], process(Frame(eight[middle]), backend).pixels, target[middle])
    )
    noise, change = before - truth, before - after
    return Trial(estimate(eight), *(float(np.mean(x)) for x in (noise**2, noise * change, change**2)))


def loss(trials: list[Trial], blur: float) -> float:
    """Mean PSNR lost against the best strength of every trial, in dB."""
    return float(np.mean([t.psnr(t.best) - t.psnr(auto_strength(t.noise, blur) / 100) for t in trials]))


def report(trials: list[Trial]) -> None:
    candidates = np.geomspace(0.2, 20, 200)
    fitted = float(candidates[np.argmin([loss(trials, float(b)) for b in candidates])])
    rows: list[list[str]] = []
    for low, high in pairwise(EDGES):
        some = [t for t in trials if low <= t.noise.luma < high]
        if some:
            shares = [(0.0, 1.0, auto_strength(t.noise, fitted) / 100, t.best) for t in some]
            psnrs = np.mean([[t.psnr(w) for w in s] for t, s in zip(some, shares, strict=True)], 0)
            lower, middle, upper = np.quantile([100 * t.best for t in some], (0.25, 0.5, 0.75))
            mapped = np.median([100 * s[2] for s in shares])
            best = f"{middle:.0f} ({lower:.0f}–{upper:.0f})"
            rows.append([f"{low}–{high}", str(len(some)), best, f"{mapped:.0f}", *(f"{p:.2f}" for p in psnrs)])
    header = [
        "estimated luma noise",
        "trials",
        "best (quartiles)",
        "auto",
        "noisy, dB",
        "100, dB",
        "auto, dB",
        "best, dB",
    ]
    print_table(header, rows)
    full = float(np.mean([t.psnr(t.best) - t.psnr(1.0) for t in trials]))
    print(
        f"\nfitted: BLUR = {fitted:.2f}; loses {loss(trials, fitted):.3f} dB against the best strength of every trial"
    )
    print(f"as it is: BLUR = {BLUR:.2f}, {loss(trials, BLUR):.3f} dB; always 100: {full:.3f} dB")


if __name__ == "__main__":
    main()

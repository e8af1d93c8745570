"""Bias and scatter of `noise.estimate`, on simulated noise over clean photos and, with --pairs, on real pairs.

"true" is the standard deviation of noisy minus clean over the whole photo, "estimated" what is found on the noisy photo
alone; both are medians over photos, in 8-bit units. Bias is the median of estimated/true, and after it stands half the
range of that ratio in which 68% of the photos lie; "coarse" is that of `ops.noise_level`. What JPEG loses of the
picture's own colours is chroma noise in "true" and not in the estimate, which looks at flat places; so cameras without
JPEG have rows of their own. "Clean" photos have grain of their own, which the row of no noise shows.

    python benchmarks/noise_estimate.py CLEAN_FOLDER [--every 3] [--pairs FOLDER]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from timing import print_table

from nsp_cli.evaluation.metrics import find_pairs
from nsp_cli.image import from_unit, is_photo, read, to_unit
from nsp_cli.image.luma import luma
from nsp_cli.noise.correlation import noise_correlation
from nsp_cli.noise.estimate import CORRELATION_LEVEL, NoiseEstimate, correlation_length, estimate
from nsp_cli.ops.noise_level import estimate_noise_level
from nsp_cli.simulation.camera import Camera, simulate, white_noise

Picture = NDArray[np.float32]
Pair = tuple[Picture, Picture]
LAGS = 20


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folder", type=Path, help="clean photos, searched to the bottom")
    flags.add_argument("--every", type=int, default=3, help="take every n-th photo (%(default)s)")
    flags.add_argument("--pairs", type=Path, help="a folder of x_noisy and x_clean, for a row of its own")
    args = flags.parse_args()
    paths = sorted(p for p in args.folder.rglob("*") if is_photo(p))[:: args.every]
    photos = [clean for path in paths if (clean := to_unit(read(path).pixels)).shape[2] == 3]
    rows = [row(name, (make(clean) for clean in photos)) for name, make in conditions().items()]
    if args.pairs:
        found = find_pairs(args.pairs, args.pairs)
        rows.append(row(f"pairs of {args.pairs.name}", ((to_unit(read(p).pixels) for p in pair) for pair in found)))
    print(f"{len(photos)} photos; correlation length: pixels until the autocorrelation is below {CORRELATION_LEVEL}\n")
    kinds = [f"{kind} {what}" for kind in ("luma", "chroma") for what in ("true", "estimated", "bias", "length")]
    print_table(["noise", *kinds, "luma coarse", "ms a photo"], rows)


def conditions() -> dict[str, Callable[[Picture], Pair]]:
    """Ways to make (noisy, clean) of a clean photo."""
    rng = np.random.default_rng(0)
    made: dict[str, Callable[[Picture], Pair]] = {}
    for sigma in (0, 3, 10, 30):
        made[f"white, σ {sigma}"] = lambda clean, s=sigma: (white_noise(clean, s / 255, rng), clean)
    for gain in (3e-4, 1.5e-3, 7e-3, 3e-2):
        for smoothing, quality in ((0.0, None), (1.5, None), (0.0, 95)):
            camera = Camera(shot_gain=gain, read_noise=gain, chroma_smoothing=smoothing, jpeg_quality=quality)
            name = f"camera, gain {gain:g}, chroma smoothing {smoothing:g}, JPEG {quality or 'off'}"
            made[name] = lambda clean, c=camera: simulate(clean, c, rng)
    return made


def row(name: str, pairs: Iterable[Iterable[Picture]]) -> list[str]:
    true: list[NoiseEstimate] = []
    found: list[NoiseEstimate] = []
    coarse: list[float] = []
    seconds = 0.0
    for noisy, clean in pairs:
        pixels = from_unit(noisy, np.uint8)
        true.append(truth(to_unit(pixels) - clean))
        started = time.process_time()
        found.append(estimate(pixels))
        seconds += time.process_time() - started
        coarse.append(255 * float(estimate_noise_level(torch.from_numpy(to_unit(pixels)).permute(2, 0, 1)[None])))
    cells = [name]
    for kind in ("luma", "chroma"):
        a, b = (np.array([getattr(e, kind) for e in some]) for some in (true, found))
        reaches = [float(np.median([getattr(e, f"{kind}_correlation_length") for e in some])) for some in (true, found)]
        cells += [f"{np.median(a):.1f}", f"{np.median(b):.1f}", bias(a, b), f"{reaches[0]:.1f} → {reaches[1]:.1f}"]
    return [*cells, bias(np.array([e.luma for e in true]), np.array(coarse)), f"{1e3 * seconds / len(found):.0f}"]


def bias(true: NDArray[np.float64], found: NDArray[np.float64]) -> str:
    low, middle, high = np.quantile(found / np.maximum(true, 1e-9), (0.16, 0.5, 0.84))
    return f"×{middle:.2f} ± {(high - low) / 2:.2f}" if middle < 100 else "–"


def truth(residual: Picture) -> NoiseEstimate:
    """What `estimate` should find, from noisy minus clean."""
    if not residual.any():
        return NoiseEstimate()
    grey = luma(residual)
    red, blue = (float(np.var(residual[..., channel] - grey)) for channel in (0, 2))
    correlation = noise_correlation(residual, LAGS)
    levels = 255 * float(np.std(grey)), 255 * float(np.sqrt((red + blue) / 2))
    return NoiseEstimate(*levels, correlation_length(correlation.luma), correlation_length(correlation.chroma))


if __name__ == "__main__":
    main()

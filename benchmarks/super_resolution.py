"""Which way to enlarge a noisy photo is best, where the answer is known: the modes of `nsp sr`, and bicubic.

    python benchmarks/super_resolution.py [CLEAN_FOLDER] [-m MODEL] [--photos 6] [--crop 192]

A clean crop is halved (Pillow's BICUBIC, antialiased), photographed by simulated cameras, enlarged twice in every way,
and measured against the crop. Bicubic enlargement is OpenCV's INTER_CUBIC, as at `--strength 0`. Both are
centre-aligned. The last column is the shift in pixels (down, right) by which a result would have to be moved to fit
best, a median, because repeated texture misleads it: a mode with one is misaligned. "no noise" enlarges what the same
camera gives without noise. In brackets is the PSNR of the noisy small photo against that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.registration import phase_cross_correlation
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.process import process
from nsp_cli.evaluation.metrics import Scores, mean, psnr, score, to_uint8
from nsp_cli.image import Frame, from_unit, is_photo, read
from nsp_cli.model.spec import Task
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

Photo = NDArray[np.uint8]

CAMERAS = {
    "low": Camera(shot_gain=5e-4, read_noise=1e-3),
    "medium": Camera(),
    "high": Camera(shot_gain=1e-2, read_noise=2e-2),
    "medium, wide chroma": Camera(chroma_smoothing=1.5, jpeg_quality=92),
    "medium, sensor × 0.67": Camera(resize=1.5, chroma_smoothing=1.0),
}
_IN_INT8 = (Task.DENOISE, Task.DIRECT)
_MODES = (Task.DIRECT, Task.SHUFFLE, Task.SHUFFLE_DENOISE)


def clean_crops(folder: Path | None, photos: int, side: int) -> Iterator[Photo]:
    """The middle of the photos of a folder, or of synthetic scenes."""
    if folder is None:
        for seed in range(photos):
            picture = sample_picture(2 * side, 2 * side, np.random.default_rng(seed))
            yield _middle(to_uint8(picture), side)
        return
    found = sorted(path for path in folder.iterdir() if is_photo(path))
    for path in found[:: max(len(found) // photos, 1)][:photos]:
        yield _middle(to_uint8(read(path).pixels), side)


def _middle(photo: Photo, side: int) -> Photo:
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    return photo[top : top + side, left : left + side]


def halve(photo: Photo) -> NDArray[np.float32]:
    """Half the size, float32 in [0, 1]."""
    height, width = photo.shape[:2]
    half = Image.fromarray(photo).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    return np.asarray(half, np.float32) / np.float32(255)


def enlarge(photo: Photo) -> Photo:
    large = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def shift(result: Photo, clean: Photo) -> tuple[float, float]:
    """By how many pixels (down, right) `result` must be moved to lie on `clean`."""
    grey: Any = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (clean, result)]
    window = np.outer(*(np.hanning(length) for length in grey[0].shape))
    plain: Any = None  # plain cross-correlation, whose peak is where the mean squared error is least
    found: Any = phase_cross_correlation(
        *((g - g.mean()) * window for g in grey), upsample_factor=20, normalization=plain
    )
    return float(found[0][0]), float(found[0][1])


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("folder", nargs="?", type=Path, metavar="CLEAN_FOLDER", help="clean photos (synthetic scenes)")
    flags.add_argument("-m", "--model", help="enlarges: a name of `nsp models` or a weights file (each mode's default)")
    flags.add_argument("--denoiser", help="what `denoise` runs (the default that ships)")
    flags.add_argument("--photos", type=int, default=6)
    flags.add_argument("--crop", type=int, default=192, help="side of a clean crop, a multiple of 2")
    flags.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8 (where a model has it)")
    args = flags.parse_args()
    use_threads(args.threads)
    backends = {
        task: load_backend(
            args.denoiser if task is Task.DENOISE else args.model,
            task,
            device=args.device,
            precision="auto" if args.precision == "int8" and task not in _IN_INT8 else args.precision,
        )
        for task in (Task.DENOISE, *_MODES)
    }

    def run(task: Task, photo: Photo) -> Photo:
        return to_uint8(process(Frame(photo), backends[task]).pixels)

    ways: dict[str, Callable[[Photo], Photo]] = {str(task): lambda p, t=task: run(t, p) for task in _MODES}
    ways["denoise, direct"] = lambda p: run(Task.DIRECT, run(Task.DENOISE, p))
    ways["denoise, bicubic"] = lambda p: enlarge(run(Task.DENOISE, p))
    ways["noisy, bicubic"] = enlarge
    noise: dict[str, list[float]] = defaultdict(list)
    scores: dict[str, dict[str, list[Scores]]] = defaultdict(lambda: defaultdict(list))
    shifts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for index, clean in enumerate(clean_crops(args.folder, args.photos, args.crop)):
        for level, camera in CAMERAS.items():
            noisy, target = (
                to_uint8(from_unit(p, np.uint8)) for p in simulate(halve(clean), camera, np.random.default_rng(index))
            )
            noise[level].append(psnr(noisy, target))
            results = {name: way(noisy) for name, way in ways.items()} | {"no noise, bicubic": enlarge(target)}
            for name, result in results.items():
                scores[name][level].append(score(result, clean))
                shifts[name].append(shift(result, clean))
    rows: list[list[str]] = []
    for name, by_level in scores.items():
        means = [mean(found) for found in by_level.values()]
        down, right = np.median(shifts[name], 0)
        cells = [f"{m.psnr:.2f} / {m.ssim:.4f}" for m in (*means, mean(means))]
        rows.append([name, *cells, f"{down:+.2f}, {right:+.2f}"])
    levels = [f"{level} ({np.mean(found):.0f} dB)" for level, found in noise.items()]
    print_table([f"{args.photos} crops, {args.crop}²", *levels, "mean", "shift"], rows)


if __name__ == "__main__":
    main()

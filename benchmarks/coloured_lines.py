"""PSNR on thin coloured lines and dots, without and with the coarse chroma, which is to leave their colour.

    python benchmarks/coloured_lines.py [-m MODEL …]

The drawing has lines of 1 to 4 pixels and dots of 2 to 11 in random colours. The noise is Gaussian, white or blurred
(σ = 1 pixel), of three levels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.process import process
from nsp_cli.evaluation.metrics import psnr
from nsp_cli.image import Frame
from nsp_cli.model import registry

_SIDE, _LINES, _DOTS = 768, 250, 400
_LEVELS = (3, 8, 16)  # standard deviation of the noise, of 255

Photo = NDArray[np.uint8]


def drawing(rng: np.random.Generator) -> Photo:
    """Draw at twice the size, and reduce, so that edges are soft."""
    large = np.full((2 * _SIDE, 2 * _SIDE, 3), 120, np.uint8)

    def colour() -> tuple[int, ...]:
        return tuple(int(value) for value in rng.integers(0, 256, 3))

    for _ in range(_LINES):
        start = rng.integers(0, 2 * _SIDE, 2)
        stop = start + rng.integers(-300, 300, 2)
        width = int(rng.integers(2, 9))
        cv2.line(large, (int(start[0]), int(start[1])), (int(stop[0]), int(stop[1])), colour(), width, cv2.LINE_AA)
    for _ in range(_DOTS):
        x, y, radius = (int(value) for value in (*rng.integers(0, 2 * _SIDE, 2), rng.integers(2, 12)))
        cv2.circle(large, (x, y), radius, colour(), -1, cv2.LINE_AA)
    return np.asarray(cv2.resize(large, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def noises(rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """White and blurred noise (H, W, 3), of standard deviation 1."""
    white = rng.standard_normal((_SIDE, _SIDE, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(white, (0, 0), 1.0)
    return {"white": white, "blurred": np.asarray(blurred / blurred.std(), np.float32)}


def figure(noisy: Photo, clean: Photo, backend: Backend) -> str:
    return f"{psnr(np.asarray(process(Frame(noisy), backend).pixels, np.uint8), clean):.2f}"


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("-m", "--model", action="append", help="may be given several times (fast)")
    args = flags.parse_args()
    use_threads(args.threads)
    rng = np.random.default_rng(0)
    clean = drawing(rng)
    photos = {
        f"{kind}, {level}": np.clip(np.rint(clean + level * noise), 0, 255).astype(np.uint8)
        for kind, noise in noises(rng).items()
        for level in _LEVELS
    }
    rows: list[list[str]] = []
    for model in args.model or ["fast"]:
        for wanted in (False, True):
            backend = load_backend(model, device=args.device, settings={"coarse_chroma": wanted})
            name = registry.resolve(model).stem + (", coarse chroma" if wanted else "")
            rows.append([name, *(figure(noisy, clean, backend) for noisy in photos.values())])
    print_table(["PSNR", *photos], rows)


if __name__ == "__main__":
    main()

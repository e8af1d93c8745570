"""PSNR and SSIM of models and of simple filters on real noisy photos with a clean partner: the table of the weights.

    python benchmarks/quality.py PAIRS_ROOT [-m MODEL …] [--only ROW …] [--noise FACTOR …] [--coarse-chroma] [--json F]

Each sub-folder of PAIRS_ROOT is a set, its photos named x_noisy and x_clean. Figures are means over photos, as
`nsp eval` has them. A setting in brackets is the best for the whole set by mean PSNR: an upper bound, which nobody
reaches without clean photos.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.process import process
from nsp_cli.evaluation.metrics import Scores, find_pairs, mean, psnr, score, to_uint8
from nsp_cli.image import Frame, from_unit, read, to_unit
from nsp_cli.model import registry
from nsp_cli.noise.estimate import noise_level

Photo = NDArray[np.uint8]
Pairs = Sequence[tuple[Photo, Photo]]
Figure = tuple[Scores, float | None]

_KINDS = ("noisy", "gaussian", "nlm", "models")
_SIGMA = 0.7
_NLM_H = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30)
_STRENGTHS = tuple(range(10, 101, 10))


def load_pairs(folder: Path) -> Pairs:
    """(noisy, clean) of a folder, uint8 RGB."""
    return [(to_uint8(read(a).pixels), to_uint8(read(b).pixels)) for a, b in find_pairs(folder, folder)]


def gaussian(noisy: Photo) -> Photo:
    blurred = cv2.GaussianBlur(to_unit(noisy), (0, 0), _SIGMA)
    return to_uint8(from_unit(np.asarray(blurred, np.float32), np.uint8))


def non_local_means(noisy: Photo, h: float) -> Photo:
    """OpenCV's, which takes BGR; template 7, search 21, `h` for luma and chroma alike."""
    result = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(noisy[..., ::-1]), None, h, h, 7, 21)
    return np.ascontiguousarray(result[..., ::-1]).astype(np.uint8, copy=False)


def best(pairs: Pairs, settings: Sequence[float], run: Callable[[int, float], Photo]) -> Figure:
    """The scores with the setting that has the highest mean PSNR; `run` gives photo i with a setting."""

    def quality(setting: float) -> float:
        return float(np.mean([psnr(run(i, setting), clean) for i, (_, clean) in enumerate(pairs)]))

    chosen = max(settings, key=quality)
    return mean([score(run(i, chosen), clean) for i, (_, clean) in enumerate(pairs)]), chosen


def model_figures(pairs: Pairs, backend: Backend) -> tuple[Figure, Figure]:
    """At full strength, and at the best; the network runs once a photo, and the rest is blending."""
    photos = [to_unit(noisy) for noisy, _ in pairs]
    results = [process(Frame(photo), backend).pixels for photo in photos]

    def blend(i: int, strength: float) -> Photo:
        mixed = photos[i] + np.float32(strength / 100) * (results[i] - photos[i])
        return to_uint8(from_unit(np.asarray(mixed, np.float32), np.uint8))

    return (best(pairs, [100], blend)[0], None), best(pairs, _STRENGTHS, blend)


def with_other_level(pairs: Pairs, backend: Backend, factor: float) -> Figure:
    """Of a noise-conditional model, at full strength and with a multiple of the noise level that is measured."""
    blends = [Blend(noise=factor * noise_level(noisy).trusted_luma) for noisy, _ in pairs]
    results = [process(Frame(noisy), backend, blend).pixels for (noisy, _), blend in zip(pairs, blends, strict=True)]
    return mean([score(to_uint8(result), clean) for result, (_, clean) in zip(results, pairs, strict=True)]), None


def figures(
    pairs: Pairs, backends: Mapping[str, Backend], only: Sequence[str], factors: Sequence[float] = ()
) -> dict[str, Figure]:
    """Every row of one set."""
    rows: dict[str, Figure] = {}
    if "noisy" in only:
        rows["noisy"] = mean([score(noisy, clean) for noisy, clean in pairs]), None
    if "gaussian" in only:
        rows[f"Gaussian, σ {_SIGMA}"] = mean([score(gaussian(noisy), clean) for noisy, clean in pairs]), None
    if "nlm" in only:
        results = {(i, h): non_local_means(noisy, h) for h in _NLM_H for i, (noisy, _) in enumerate(pairs)}
        rows["OpenCV non-local means (best h)"] = best(pairs, _NLM_H, lambda i, h: results[i, int(h)])
    if "models" in only:
        for name, backend in backends.items():
            rows[name], rows[f"{name} (best strength)"] = model_figures(pairs, backend)
            for factor in factors if backend.spec.noise_level else ():
                rows[f"{name}, noise level × {factor:g}"] = with_other_level(pairs, backend, factor)
    return rows


def cell(figure: Figure) -> str:
    scores, setting = figure
    chosen = "" if setting is None else f" ({setting:g})"
    return f"{scores.psnr:.2f} / {scores.ssim:.4f}{chosen}"


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("root", type=Path, metavar="PAIRS_ROOT")
    flags.add_argument("-m", "--model", action="append", help="may be given several times (the default that ships)")
    flags.add_argument("--only", nargs="+", choices=_KINDS, default=_KINDS, help="rows to measure (all)")
    flags.add_argument(
        "--noise", nargs="+", type=float, default=(), metavar="FACTOR", help="also with these multiples of the level"
    )
    flags.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8")
    flags.add_argument(
        "--coarse-chroma", action=argparse.BooleanOptionalAction, default=None, help="with or without coarse chroma"
    )
    flags.add_argument("--json", type=Path, help="write the figures to this file")
    args = flags.parse_args()
    use_threads(args.threads)
    chosen: list[str | None] = args.model or [None]
    settings = {} if args.coarse_chroma is None else {"coarse_chroma": args.coarse_chroma}
    backends = {
        registry.resolve(model).stem: load_backend(
            model, device=args.device, precision=args.precision, settings=settings
        )
        for model in (chosen if "models" in args.only else [])
    }
    folders = sorted(path for path in args.root.iterdir() if path.is_dir())
    sets = {f"{folder.name} ({len(pairs)})": pairs for folder in folders if (pairs := load_pairs(folder))}
    table = {name: figures(pairs, backends, args.only, args.noise) for name, pairs in sets.items()}
    rows = list(next(iter(table.values())))
    print_table(["PSNR / SSIM", *table], [[row, *(cell(column[row]) for column in table.values())] for row in rows])
    if args.json:
        kept = {
            name: {row: {"psnr": s.psnr, "ssim": s.ssim, "setting": setting} for row, (s, setting) in column.items()}
            for name, column in table.items()
        }
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What each trick of the method `simulated` is worth: the same run with all of them, and without one at a time.

    python benchmarks/tricks.py CLEAN_FOLDER PAIRS_ROOT OUT [--minutes 4] [--from MODEL] [--only TRICK …]

Every run has the same time, seed and start, by default the weights that ship; a run that OUT has is not made again.
Printed are mean PSNR and SSIM on each folder of pairs. Short runs see large effects alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from measuring import mean_scores
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.image import is_photo
from nsp_cli.methods import simulated
from nsp_cli.model import registry
from nsp_cli.simulation import clean_crops
from nsp_cli.training import Job, find_preset, train

TRICKS: Mapping[str, tuple[ModuleType, str, float | int]] = {
    "blocks in the loss": (simulated, "_BLOCK_WEIGHT", 0.0),
    "structure in the loss": (simulated, "_STRUCTURE_WEIGHT", 0.0),
    "grain smoothed": (clean_crops, "_GRAIN", 1e-6),
    "photos reduced": (simulated, "_REDUCED_PROB", 0.0),
    "other colours": (simulated, "_RECOLOURED_PROB", 0.0),
    "beginning anywhere": (simulated, "_OFFSET_SIDE", 1),
}
"""Names of tricks, and the constant of a module, with its value, that turns each off."""

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "synthetic scenes": {"synthetic_scene_prob": 0.0},
    "neutral cameras": {"neutral_isp_prob": 0.0, "low_light_prob": 0.25},
}
"""Tricks that a setting of the method turns off. Without neutral cameras a quarter of the photos are in low light."""

ALL = [*TRICKS, *SETTINGS]


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("clean", type=Path, metavar="CLEAN_FOLDER")
    flags.add_argument("pairs", type=Path, metavar="PAIRS_ROOT")
    flags.add_argument("out", type=Path, metavar="OUT")
    flags.add_argument("--from", dest="start", default="fast", help="the weights to start from (fast)")
    flags.add_argument("--minutes", type=float, default=4.0, help="of learning, for each row (4)")
    flags.add_argument("--only", nargs="+", choices=ALL, default=ALL, help="tricks (all)")
    flags.add_argument("--lr", type=float, default=5e-4, help="learning rate (5e-4)")
    args = flags.parse_args()
    use_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    photos = sorted(path for path in args.clean.rglob("*") if is_photo(path))
    preset = find_preset("simulated", "photographer").with_budget(None, args.minutes)
    settings = replace(preset, lr=args.lr)
    sets = [folder for folder in sorted(args.pairs.iterdir()) if folder.is_dir()]
    rows: list[list[str]] = []
    for trick in ("", *args.only):
        target = args.out / f"{trick.replace(' ', '-') or 'all'}.safetensors"
        if not target.exists():
            run = target.with_name(f"new-{target.name}")
            job = Job(photos, run, target.with_suffix(".run"), registry.resolve(args.start), device=args.device)
            with patch.object(*TRICKS[trick]) if trick in TRICKS else nullcontext():
                without = {**settings.method_args, **SETTINGS.get(trick, {})}
                train(replace(settings, method_args=without), job)
            run.rename(target)
        backend = load_backend(target, device=args.device)
        means = [mean_scores(folder, backend) for folder in sets]
        figures = [f"{scores.psnr:.2f} / {scores.ssim:.4f}" for scores in means]
        rows.append([f"without {trick}" if trick else "all", *figures])
    print_table([f"PSNR / SSIM after {args.minutes:g} minutes", *(folder.name for folder in sets)], rows)


if __name__ == "__main__":
    main()

"""Every system of the papers, trained from nothing for the same time, on noise whose answer is known and on real noise.

    python benchmarks/methods.py OUT --minutes 10 [--photos PHOTOS] [--only SYSTEM …] [--arenas NOISE …]
        [--into benchmarks/README.md]

A system is a method with its `photographer` preset, or one with another network or loss (`SYSTEMS`). Each learns three
times, with one seed: on photos with white noise, on photos with noise that is correlated like a camera's, and (with
--photos) on the real ones of PHOTOS/train. It is measured on other photos with the same noise, and on the pairs of
PHOTOS/pairs. Without --photos synthetic scenes are used, and real noise is left out. A method that needs clean photos
gets those that the noisy ones were made of (PHOTOS/clean for real noise); one that needs teachers gets a method of the
table that was trained here just before, and its outputs for all photos, before its own time begins. With --clock cpu
the minutes and seconds are those of the process, for one thread on a machine that has other work.

The first row is the noisy photo, the last one a network that was trained on the clean photos: figures outside these two
are errors.
Run it again after a stop: what OUT holds is not done again, and a run in the middle of training goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from arenas import NOISES, Arena, real_arena, simulated_arena
from timing import markdown, parser, use_threads
from torch import Generator, Tensor, nn

from nsp_cli.api import load_backend, load_model
from nsp_cli.engine.process import process
from nsp_cli.evaluation.metrics import find_pairs, psnr, to_uint8
from nsp_cli.image import Frame, read
from nsp_cli.methods import METHODS, Method, Preset, build_method
from nsp_cli.methods.base import Crop, PlainPipeline, SelfSupervised
from nsp_cli.model.spec import Task
from nsp_cli.networks import PLAIN_NETWORKS
from nsp_cli.training import PHOTOGRAPHER, Job, TrainConfig, find_preset, has_run, train, trainer

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

BOUND = "supervised"
_SMALL_TBSN = {"dim": 16, "blocks": (1, 1, 2), "refinement": 1}

SYSTEMS: dict[str, tuple[str, Mapping[str, Any]]] = {
    **{name: (name, {}) for name in METHODS},
    "rd-1.02M": ("rd", {"network": "unet", "network_args": {"intro": False, "skips": "features"}}),
    "at-bsn": ("apr", {"method_args": {"neighbours": False}}),
    "nsp-tbsn": ("nsp", {"network": "tbsn", "network_args": _SMALL_TBSN}),
    "tbsn": ("apbsn", {"network": "tbsn", "network_args": {**_SMALL_TBSN, "tail": "plain"}}),
    "amsnet-unet": ("amsnet", {"network": "n2nunet", "network_args": {"width": 40}}),
}
"""The rows of the table: a method, and what differs from its `photographer` preset. Settings of the method are added to
the preset's; those of a network replace them."""
_STEPS_A_PHOTO = 8
"""Enough for the trainer to have taken a crop of every photo."""

BEGIN, END = "<!-- benchmarks/methods.py writes from here -->", "<!-- to here -->"


@dataclass(frozen=True)
class Result:
    """What was measured of a method in one arena: mean PSNR in dB by test set, median seconds a megapixel."""

    psnr: Mapping[str, float]
    seconds: float | None = None
    network: str = ""
    teacher: str | None = None


@dataclass(frozen=True)
class Supervised(SelfSupervised):
    """Upper bound: the targets are the clean photos, with the noise of the arena of this name."""

    noise: str = "white"

    name: ClassVar[str] = BOUND
    summary: ClassVar[str] = "learn clean photos from noisy ones"
    presets: ClassVar[Mapping[str, Preset]] = {}
    networks = PLAIN_NETWORKS
    smallest_patch = 32
    needs_clean_photos: ClassVar[bool] = True

    def make_example(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """(P, P, 3) → (P, P, 6): noisy, then clean."""
        return np.concatenate(NOISES[self.noise](crop, rng), 2)

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002
        """(B, 6, P, P) in [0, 1] → L1, a scalar."""
        noisy, clean = batch.chunk(2, 1)
        return (network(noisy.contiguous(memory_format=torch.channels_last)) - clean).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PlainPipeline:
        return PlainPipeline(network, task, channels)


def settings_of(name: str, arena: Arena, minutes: float, seed: int) -> TrainConfig:
    """A system's settings with the time and the seed of all; the bound has those of a method with clean photos."""
    if name != BOUND:
        method, changes = SYSTEMS[name]
        preset = find_preset(method, PHOTOGRAPHER).with_budget(None, minutes)
        changes = {**changes, "method_args": {**preset.method_args, **changes.get("method_args", {})}}
        return replace(preset, **changes, seed=seed, save_every=100)
    model = next(name for name in METHODS if name != BOUND and build_method(name, {}).needs_clean_photos)
    like = settings_of(model, arena, minutes, seed)
    network = {**like.network_args, "noise_level": False}
    return replace(like, method=BOUND, method_args={"noise": arena.name}, network_args=network, patch=like.patch // 2)


def teacher_of(name: str, done: Sequence[str]) -> str:
    """Return the last finished system that needs no teacher, those with several variants first."""
    able = [other for other in done if not (_method(other).needs_clean_photos or _wants_teachers(_method(other)))]
    if not able:
        raise SystemExit(f"{name} learns from another method; name one more with --only.")
    return max(able, key=lambda other: (len(getattr(_method(other), "inference_variants", ())) > 1, able.index(other)))


def _method(name: str) -> Method:
    method = SYSTEMS[name][0]
    return build_method(method, find_preset(method, PHOTOGRAPHER).method_args)


def _wants_teachers(method: Method) -> bool:
    return bool(getattr(method, "needs_teachers", False))


def learn(settings: TrainConfig, arena: Arena, target: Path, device: str) -> None:
    """Train into `target`, or go on with a run that was stopped."""
    folder = target.with_suffix(".run")
    method = build_method(settings.method, settings.method_args)
    photos = arena.clean if method.needs_clean_photos else arena.noisy
    train(settings, Job(photos, target, folder, device=device, resume=has_run(folder)))


def ask_teachers(settings: TrainConfig, arena: Arena, target: Path, device: str) -> None:
    """Fill the cache of the teachers' outputs: a run of the smallest steps, whose weights are not used."""
    small = replace(settings, minutes=None, steps=_STEPS_A_PHOTO * len(arena.noisy), batch=1)
    asking = target.with_name("asking.safetensors")
    learn(small, arena, asking, device)
    asking.unlink()
    shutil.rmtree(asking.with_suffix(".run"))


def measure(arena: Arena, weights: Path | None, args: argparse.Namespace) -> Result:
    """PSNR of the results, or of the noisy photos themselves where there are no weights."""
    device, now = args.device, CLOCKS[args.clock]
    backend = None if weights is None else load_backend(weights, device=device)
    figures: dict[str, float] = {}
    seconds: list[float] = []
    for test, folder in arena.tests.items():
        found: list[float] = []
        for noisy, clean in find_pairs(folder, folder):
            photo, answer = (to_uint8(read(path).pixels) for path in (noisy, clean))
            started = now()
            result = photo if backend is None else process(Frame(photo), backend).pixels
            seconds.append((now() - started) * 1e6 / (photo.shape[0] * photo.shape[1]))
            found.append(psnr(to_uint8(result), answer))
        figures[test] = mean(found)
    if weights is None:
        return Result(figures)
    network, spec = load_model(weights)
    size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    return Result(figures, median(seconds), f"{spec.network}, {size:.2f} M")


def run(name: str | None, arena: Arena, done: Sequence[str], args: argparse.Namespace) -> Result:
    """Train and measure a method (None: the noisy photos) in an arena, unless its result is on the disk."""
    record = args.out / arena.name / f"{name or 'noisy'}.json"
    if record.exists():
        return Result(**json.loads(record.read_text()))
    if name is None:
        result = measure(arena, None, args)
    else:
        target = record.with_suffix(".safetensors")
        taught = name != BOUND and _wants_teachers(_method(name))
        teacher = teacher_of(name, done) if taught else None
        print(f"{arena.name}: {name}", flush=True)
        more: dict[str, Any] = (
            {} if teacher is None else {"teachers": (str(target.with_name(f"{teacher}.safetensors").resolve()),)}
        )
        settings = replace(settings_of(name, arena, args.minutes, args.seed), **more)
        if teacher is not None and not has_run(target.with_suffix(".run")):
            ask_teachers(settings, arena, target, args.device)
        with patch.object(trainer, "time", SimpleNamespace(monotonic=CLOCKS[args.clock])):
            learn(settings, arena, target, args.device)
        result = replace(measure(arena, target, args), teacher=teacher)
    record.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def table(results: Mapping[str, Mapping[str, Result]], minutes: float) -> str:
    """A GitHub table from results by row and arena; a test set that a row was not measured on gets a dash."""
    tests = list(dict.fromkeys(test for row in results.values() for result in row.values() for test in result.psnr))
    lines: list[list[str]] = []
    for name, row in results.items():
        figures = {test: value for result in row.values() for test, value in result.psnr.items()}
        first = next(iter(row.values()))
        times = [result.seconds for result in row.values() if result.seconds is not None]
        label = name if first.teacher is None else f"{name}, teacher {first.teacher}"
        cells = [f"{figures[test]:.2f}" if test in figures else "–" for test in tests]
        lines.append([f"{label} ({first.network})" if first.network else label, *cells])
        lines[-1].append(f"{median(times):.2f}" if times else "–")
    return markdown([f"PSNR after {minutes:g} minutes each, dB", *tests, "s a megapixel"], lines)


def insert(text: str, made: str) -> str:
    """Put the table between the two marks of a document. Raises SystemExit where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"The document must hold the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("out", type=Path, metavar="OUT", help="folder for photos, weights and results")
    flags.add_argument("--minutes", type=float, required=True, help="of training, for each method and each noise")
    flags.add_argument("--photos", type=Path, help="a folder with clean/, train/ and pairs/ (synthetic scenes)")
    flags.add_argument("--only", nargs="+", choices=list(SYSTEMS), help="systems (all)")
    flags.add_argument("--arenas", nargs="+", choices=[*NOISES, "real"], help="kinds of noise (all)")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--clock", choices=list(CLOCKS), default="wall", help="of minutes and seconds (wall)")
    flags.add_argument("--into", type=Path, help="a document to write the table into, between its marks")
    args = flags.parse_args()
    use_threads(args.threads)
    os.environ["NSP_HOME"] = str(args.out / "home")  # the outputs of teachers are cached there
    chosen = [name for name in SYSTEMS if args.only is None or name in args.only]
    METHODS[BOUND] = Supervised
    remember(args)
    asked = args.arenas or [*NOISES, "real"]
    arenas = [simulated_arena(name, args.out / name, args.photos, args.seed) for name in NOISES if name in asked]
    if args.photos is not None and "real" in asked:
        arenas.append(real_arena(args.out / "real", args.photos))
    results: dict[str, dict[str, Result]] = {}
    for arena in arenas:
        results.setdefault("noisy", {})[arena.name] = run(None, arena, (), args)
        for i, name in enumerate(chosen):
            results.setdefault(name, {})[arena.name] = run(name, arena, chosen[:i], args)
        if arena.noise is not None:
            results.setdefault(BOUND, {})[arena.name] = run(BOUND, arena, (), args)
    if BOUND in results:
        results[BOUND] = results.pop(BOUND)  # last
    made = table(results, args.minutes)
    print(made)
    (args.out / "table.md").write_text(made + "\n", encoding="utf-8")
    if args.into is not None:
        args.into.write_text(insert(args.into.read_text(encoding="utf-8"), made), encoding="utf-8")


def remember(args: argparse.Namespace) -> None:
    """Note what OUT is made with. Raises SystemExit where it was made with something else."""
    asked = {"minutes": args.minutes, "seed": args.seed, "photos": args.photos is not None}
    note = args.out / "made-with.json"
    if note.exists() and (found := json.loads(note.read_text())) != asked:
        raise SystemExit(f"{args.out} was made with {found}, not with {asked}; choose another folder.")
    args.out.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(asked) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

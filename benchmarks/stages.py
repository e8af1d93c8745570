"""Where the time of one `nsp denoise` goes: seconds of wall time and of CPU for each stage, and peak memory.

    python benchmarks/stages.py [PHOTO] [--megapixels 24] [--code FOLDER …] [--repeats 3] [-- OPTION …]

Without PHOTO a synthetic JPEG is made. Each run is a process of its own, and the folders with the code, such as
checkouts of two commits, take turns. Figures are the least of all runs, because other work only adds to them. CPU
seconds are of all threads, those of work that overlaps included. "the command" lacks the imports that come before it;
"whole process" has them; it and the peak are measured without the watch. What comes after `--` goes to `nsp denoise`.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

_OPEN = "open the model"

# Stage, module, function. A stage that another checkout has elsewhere has a line for each place; places that a checkout
# lacks are passed over.
_STAGES = (
    ("read", "nsp_cli.cli.batch.photo", "read"),
    ("read", "nsp_cli.cli.run", "read"),
    ("write", "nsp_cli.cli.batch.photo", "write"),
    ("write", "nsp_cli.cli.batch", "write"),
    (_OPEN, "nsp_cli.engine.loading", "load_backend"),
    (_OPEN, "nsp_cli.loading", "load_backend"),
    ("noise level", "nsp_cli.engine.process", "noise_level"),
    ("noise level", "nsp_cli.engine.process", "luma_level"),
    ("noise level", "nsp_cli.engine", "luma_level"),
    ("tiles and blending", "nsp_cli.api", "process"),
    ("tiles and blending", "nsp_cli.engine", "process"),
)
_SPENT: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
_MEGABYTE = 1e6 / (1 if sys.platform == "darwin" else 1024)  # of `ru_maxrss`


def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that adds its seconds to a stage. The backend that "open the model" returns is watched too."""

    def run(*args: Any, **kwargs: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            result = function(*args, **kwargs)
        finally:
            _SPENT[stage][0] += time.perf_counter() - wall
            _SPENT[stage][1] += time.process_time() - cpu
        if stage == _OPEN:
            for backend in (result, getattr(result, "half", None)):
                if backend is not None:
                    backend.run = timed("network", backend.run)
        return result

    return run


def watch() -> None:
    """Replace the functions of the stages."""
    for stage, module, name in _STAGES:
        try:
            owner: Any = importlib.import_module(module)
            *path, attribute = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            setattr(owner, attribute, timed(stage, getattr(owner, attribute)))
        except (ImportError, AttributeError):
            continue


def run_watched(folder: Path) -> None:
    """Denoise in this process, and write what was measured to folder/stages.json."""
    from nsp_cli.cli import main as nsp

    watch()
    started, used = time.perf_counter(), time.process_time()
    try:
        nsp()
    finally:
        inside = _SPENT["tiles and blending"]
        for stage in ("noise level", "network"):
            inside[0] -= _SPENT[stage][0]
            inside[1] -= _SPENT[stage][1]
        _SPENT["the command"] = [time.perf_counter() - started, time.process_time() - used]
        (folder / "stages.json").write_text(json.dumps(_SPENT))


def measure(code: Path, photo: Path, options: list[str], folder: Path) -> dict[str, list[float]]:
    """Run a checkout's `nsp denoise` with watched stages, then unwatched, and return the seconds of each stage."""
    environment = {**os.environ, "PYTHONPATH": str(code.absolute())}
    target = folder / f"result{photo.suffix}"
    arguments = ["denoise", str(photo.absolute()), str(target), *options]
    for command in ([__file__, "--watched", str(folder)], ["-m", "nsp_cli"]):
        target.unlink(missing_ok=True)
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command, *arguments], cwd=folder, env=environment, stderr=subprocess.DEVNULL
        )  # in another folder, because -m prefers the code in the working one
        _, process.returncode, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"nsp of {code} failed.")
    whole = {"whole process": [wall, used.ru_utime + used.ru_stime], "peak MB": [used.ru_maxrss / _MEGABYTE, 0.0]}
    return {**json.loads((folder / "stages.json").read_text()), **whole}


def synthetic(target: Path, megapixels: float) -> None:
    """Write a JPEG with sides of 3:2, of tiles of a synthetic scene with noise."""
    import numpy as np

    from nsp_cli.image import Frame, from_unit, write
    from nsp_cli.simulation.camera import Camera, simulate
    from nsp_cli.simulation.scene import sample_picture

    rng = np.random.default_rng(0)
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    noisy, _ = simulate(sample_picture(512, 768, rng), Camera(), rng)
    piece = from_unit(noisy, np.uint8)
    pixels = np.tile(piece, (-(-height // 512), -(-height * 3 // 2 // 768), 1))[:height, : height * 3 // 2]
    write(Frame(np.ascontiguousarray(pixels)), target)


def main() -> None:
    if sys.argv[1:2] == ["--watched"]:
        folder = Path(sys.argv[2])
        del sys.argv[1:3]
        run_watched(folder)
        return
    from timing import print_table

    flags = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    flags.add_argument("photo", type=Path, nargs="?")
    flags.add_argument("--megapixels", type=float, default=24.0)
    flags.add_argument("--code", type=Path, nargs="+", default=[Path(__file__).parents[1]], help="checkouts (this one)")
    flags.add_argument("--repeats", type=int, default=3)
    own, options = [*sys.argv[1:], "--"].index("--"), sys.argv[1:]
    args = flags.parse_args(options[:own])
    found: dict[Path, list[dict[str, list[float]]]] = {code: [] for code in args.code}
    with tempfile.TemporaryDirectory() as name:
        photo = args.photo or Path(name) / "photo.jpg"
        if args.photo is None:
            synthetic(photo, args.megapixels)
        for _ in range(args.repeats):
            for code, runs in found.items():
                runs.append(measure(code, photo, options[own + 1 :], Path(name)))
    stages = dict.fromkeys(stage for runs in found.values() for run in runs for stage in run)
    rows = [
        [
            stage,
            *(
                " / ".join(f"{min(run.get(stage, [0, 0])[i] for run in runs):.2f}" for i in (0, 1))
                for runs in found.values()
            ),
        ]
        for stage in stages
    ]
    print_table([photo.name if args.photo else f"{args.megapixels:g} MP, s of wall / CPU", *map(str, found)], rows)


if __name__ == "__main__":
    main()

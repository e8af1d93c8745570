"""How much of inference's own rate a folder of JPEGs reaches: `nsp` should never wait for a disk or a codec.

    python benchmarks/batch.py [-m MODEL] [--device cuda] [--photos 50] [--megapixels 2] [--jobs 1 2 4]
    python benchmarks/batch.py --pretend 10

The first row is inference alone, photos already in memory; its share is 100 % by definition. The others read, work and
write through `cli.batch.runner`, as `nsp denoise FOLDER OUT` does. `--pretend` sleeps instead of working, at so many
megapixels a second: what a device of that speed would get from this machine's processor and disk. The aim is 95 %.
With `--clock cpu` the fraction is that of the CPU time, which equals that of the rate where all cores are busy.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import interleave, parser, print_table

from nsp_cli.api import load_backend
from nsp_cli.cli.batch.batch_options import BatchOptions
from nsp_cli.cli.batch.plan import plan
from nsp_cli.cli.batch.runner import BatchContext, run
from nsp_cli.cli.console import Reporter
from nsp_cli.engine.options import DenoiseOptions, IfExists, OutputOptions
from nsp_cli.engine.process import process
from nsp_cli.image import Frame, read, write
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

_QUIET = Reporter(lambda _: None, lambda _: None, lambda: None)


def make_photos(folder: Path, count: int, megapixels: float) -> list[Path]:
    """As many JPEGs, the same picture in each, since only its size matters here."""
    rng = np.random.default_rng(0)
    height, width = round((megapixels * 2e6 / 3) ** 0.5), round((megapixels * 3e6 / 2) ** 0.5)
    noisy, _ = simulate(sample_picture(height, width, rng), Camera(), rng)
    frame = Frame(np.rint(noisy * 255).astype(np.uint8))
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for path in paths:
        write(frame, path)
    return paths


def pretend(rate: float, frame: Frame) -> Frame:
    time.sleep(frame.megapixels / rate)
    return frame


def alone(work: Callable[[Frame], Frame], frame: Frame, count: int) -> None:
    for _ in range(count):
        work(frame)


def batch(work: Callable[[Frame], Frame], folder: Path, out: Path, jobs: int) -> None:
    works, _ = plan([str(folder), str(out)])
    options = DenoiseOptions(output=OutputOptions(if_exists=IfExists.OVERWRITE))
    context = BatchContext(lambda frame, _: work(frame), options, BatchOptions(jobs=jobs))
    run(works, context, _QUIET, lambda: False, lambda _: None)


def main() -> None:
    flags = parser(__doc__, repeats=1)
    flags.add_argument("-m", "--model", help="a name of `nsp models` or a file")
    flags.add_argument("--photos", type=int, default=50)
    flags.add_argument("--megapixels", type=float, default=2.0, help="of each photo (%(default)s)")
    flags.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4])
    flags.add_argument("--pretend", type=float, metavar="RATE", help="sleep at so many MP/s instead of working")
    given = flags.parse_args()
    if given.pretend is None:
        work = partial(process, backend=load_backend(given.model, device=given.device))
    else:
        work = partial(pretend, given.pretend)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        first, *_ = make_photos(folder, given.photos, given.megapixels)
        runs: dict[str, Callable[[], object]] = {
            "inference alone": partial(alone, work, read(first), given.photos),
            **{f"batch, -j {jobs}": partial(batch, work, folder, Path(name) / "out", jobs) for jobs in given.jobs},
        }
        rounds = interleave(runs, given.repeats, torch.device("cpu"), given.clock)
        total = given.photos * read(first).megapixels
    rows = [
        [run_name, f"{total / rounds.median(run_name):.2f}", f"{100 * rounds.ratio(run_name, 'inference alone'):.0f}"]
        for run_name in runs
    ]
    print_table(["", "MP/s" if given.clock == "wall" else "MP a second of CPU", "% of inference"], rows)


if __name__ == "__main__":
    main()

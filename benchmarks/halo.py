"""The error of tiles against the halo that they are read with: the effective receptive field of a model.

    python benchmarks/halo.py NOISY_FOLDER [-m MODEL] [--halos 48 64 80 96 112] [--photos 24]

A crop of each noisy photo is processed in tiles with each halo, and compared with tiles that have the whole receptive
field; for a network for two scales it is the halo at half the photo's size. The second row of photos has white noise
added, since strong noise makes a network look further. What ships is the smallest halo whose largest error stays well
below half a level of 255 (`--limit`), see `ModelSpec.halo`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from arenas import photos_in
from numpy.typing import NDArray
from timing import parser, print_table, use_threads

from nsp_cli.api import load_backend
from nsp_cli.engine.backends.base import Backend, half_size_backend
from nsp_cli.engine.process import process
from nsp_cli.engine.tiling import Region
from nsp_cli.image import Frame, read_srgb, to_unit
from nsp_cli.model.spec import PipelineSpec, Task

_CROP = 448  # pixels, of which tiles of `_TILE` leave a seam in the middle
_TILE = 224
_ADDED = (0.0, 0.02, 0.06, 0.12)  # standard deviations of white noise, white = 1
_PHOTO = (4000, 6000)  # pixels, what the table's last column is for
_PHOTO_TILE = 1152  # the largest that `tiling.choose_tile` takes


@dataclass
class WithHalo:
    """A backend whose tiles are read with another halo."""

    backend: Backend
    halo: int

    @property
    def half(self) -> WithHalo | None:
        half = half_size_backend(self.backend)
        return None if half is self.backend else WithHalo(half, self.halo)

    @property
    def spec(self) -> PipelineSpec:
        spec = self.backend.spec
        return spec if self.half else replace(spec, halo=self.halo)

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.backend.run(tile)

    def free_bytes(self) -> int:
        return self.backend.free_bytes()


def crops(folder: Path, count: int) -> list[Frame]:
    """Middles of photos spread over a folder and its sub-folders, float32, each as it is and with more noise."""
    paths = photos_in(folder)
    chosen = paths if len(paths) <= count else [paths[i * len(paths) // count] for i in range(count)]
    rng = np.random.default_rng(0)
    frames: list[Frame] = []
    for i, path in enumerate(chosen):
        picture = to_unit(read_srgb(path))
        top, left = (max(side - _CROP, 0) // 2 for side in picture.shape[:2])
        crop = picture[top : top + _CROP, left : left + _CROP]
        noise = rng.normal(0, _ADDED[i % len(_ADDED)], crop.shape)
        frames.append(Frame(np.clip(crop + noise, 0, 1).astype(np.float32)))
    return frames


def read_area(halo: int, multiple: int, size: tuple[int, int]) -> float:
    """Pixels that are read for one pixel of a photo of (height, width)."""
    tiles = Region(0, 0, *size).split_evenly(_PHOTO_TILE, halo, multiple)
    read = (tile.with_halo(halo, *size) for tile in tiles)
    return sum((tile.bottom - tile.top) * (tile.right - tile.left) for tile in read) / (size[0] * size[1])


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("folder", type=Path, metavar="NOISY_FOLDER")
    flags.add_argument("-m", "--model", help="a name of `nsp models` or a .safetensors file (the default that ships)")
    flags.add_argument("--task", type=Task, default=Task.DENOISE, choices=list(Task))
    flags.add_argument("--halos", type=int, nargs="+", default=[48, 64, 72, 80, 88, 96])
    flags.add_argument("--photos", type=int, default=24, help="photos to measure (24)")
    flags.add_argument("--limit", type=float, default=0.25, help="largest error of 255 of a halo to ship (0.25)")
    args = flags.parse_args()
    use_threads(args.threads)
    backend = load_backend(args.model, args.task, device=args.device, precision="fp32", exact_halo=True)
    half = half_size_backend(backend)
    size = _PHOTO if half is backend else (_PHOTO[0] // 2, _PHOTO[1] // 2)
    frames = crops(args.folder, args.photos)
    tile = _TILE if half is backend else _TILE // 2  # at half size too
    exact = [process(frame, backend, tile=tile).pixels for frame in frames]
    rows: list[list[str]] = []
    fitting: list[int] = []
    for halo in sorted(args.halos):
        tiled = (process(frame, WithHalo(backend, halo), tile=tile).pixels for frame in frames)
        errors = [255 * np.abs(a - b) for a, b in zip(tiled, exact, strict=True)]
        worst = max(float(error.max()) for error in errors)
        rms = float(np.sqrt(np.mean([np.mean(error**2) for error in errors])))
        rows.append([str(halo), f"{worst:.3f}", f"{rms:.5f}", f"{read_area(halo, half.spec.multiple, size):.3f}"])
        fitting += [halo] if worst <= args.limit else []
    rows.append(
        [
            f"{half.spec.halo} (receptive field)",
            "0",
            "0",
            f"{read_area(half.spec.halo, half.spec.multiple, size):.3f}",
        ]
    )
    print_table(["halo", "largest error, /255", "rms error, /255", "pixels read for one of 24 MP"], rows)
    smallest = fitting[0] if fitting else half.spec.halo
    shipped = smallest if half is backend else 2 * smallest + backend.spec.halo
    print(f"\n{len(frames)} photos; to ship: --halo {shipped}")


if __name__ == "__main__":
    main()

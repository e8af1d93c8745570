"""The test sets of the papers, as released by their authors: noisy blocks, and clean ones where they are public.

::

    sidd-val     ValidationNoisyBlocksSrgb.mat, ValidationGtBlocksSrgb.mat     (photos, blocks, 256, 256, 3) uint8
    sidd-bench   BenchmarkNoisyBlocksSrgb.mat                                  the same, its clean blocks are secret
    dnd          info.mat, images_srgb/NNNN.mat                                photos with boxes, clean ones are secret
    polyu, cc    x_real.* and x_mean.*                                         pairs of photos in one folder

Sources: SIDD, Abdelhamed et al. (CVPR 2018); DND, Plötz and Roth (CVPR 2017); PolyU, Xu et al. (arXiv 1804.02603);
CC, Nam et al. (CVPR 2016). The names and the layout of the files are those that the released programs of these and of
the denoising papers read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import InputError, NoInputError, UnavailableError, UsageError
from nsp_cli.evaluation.metrics import find_pairs, to_uint8
from nsp_cli.image import read_srgb
from nsp_cli.image.frame import Pixels
from nsp_cli.system.files import is_file, is_folder

_NO_LIBRARY = "Data sets are .mat files, which are read with SciPy and h5py; install them with: pip install scipy h5py."


@dataclass(frozen=True)
class Block:
    """One piece that is denoised and measured by itself.

    Attributes
    ----------
    photo, index : int
        Number of the photo in the set, and of the block in the photo, from 0.
    name : str
        Name that is printed.
    noisy : Pixels
        (H, W, 3) uint8, or float32 in [0, 1].
    clean : ndarray or None
        (H, W, 3) uint8, or None where it is not public.
    """

    photo: int
    index: int
    name: str
    noisy: Pixels
    clean: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Dataset:
    """A test set that is on the disk. `blocks` reads it from its beginning, photo after photo.

    `count` blocks are there; a complete set has `complete` of them, None where any number is right.
    """

    title: str
    count: int
    blocks: Callable[[], Iterator[Block]]
    complete: int | None = None


def open_dataset(name: str, path: Path) -> Dataset:
    """Open one of `DATASETS` in the folder `path`.

    Raises
    ------
    UsageError
        There is no set of this name.
    NoInputError
        The folder, or a file in it, is missing.
    InputError
        A file is not what it should be.
    UnavailableError
        SciPy or h5py is not installed.
    """
    if name not in DATASETS:
        raise UsageError(f"`dataset` must be one of {', '.join(DATASETS)}, got '{name}'.")
    if not is_folder(path):
        raise NoInputError(f"{path} is not a folder; `dataset={name}` needs the folder of its files.")
    dataset = DATASETS[name](path)
    if not dataset.count:
        raise NoInputError(f"The files of `dataset={name}` in {path} hold no block.")
    return dataset


def read_mat(path: Path, name: str) -> NDArray[Any]:
    """Read the variable `name` of a MATLAB file (version 5 or 7.3) with MATLAB's order of axes.

    Raises
    ------
    NoInputError
        The file is missing.
    InputError
        It is damaged or has no such variable.
    UnavailableError
        SciPy or h5py is not installed.
    """
    h5py, scipy_io = _libraries()
    if not is_file(path):
        raise NoInputError(f"There is no {path.name} in {path.parent}.")
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                return np.asarray(file[name]).T  # HDF5 is row-major, MATLAB column-major
        return np.asarray(scipy_io.loadmat(path, variable_names=[name])[name])
    except KeyError as error:
        raise InputError(f"{path} holds no whole variable {name}.") from error
    except Exception as error:  # both libraries have many kinds of their own
        raise InputError(f"{path} is not a MATLAB file that can be read: {error}.") from error


def _libraries() -> tuple[Any, Any]:
    try:
        import h5py
        import scipy.io
    except ImportError as error:
        raise UnavailableError(_NO_LIBRARY) from error
    return h5py, scipy.io


def _sidd_blocks(path: Path, name: str) -> NDArray[np.uint8]:
    """Read (photos, blocks, H, W, 3) uint8 from a .mat file of SIDD, whose variable has the file's name."""
    blocks = read_mat(path / f"{name}.mat", name)
    if blocks.ndim != 5 or blocks.shape[-1] != 3 or blocks.dtype != np.uint8:
        expected = "(photos, blocks, height, width, 3) of uint8"
        raise InputError(f"{path / name}.mat must hold {expected}, got {blocks.shape} of {blocks.dtype}.")
    return blocks


def _sidd_validation(path: Path) -> Dataset:
    noisy, clean = (_sidd_blocks(path, name) for name in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"))
    if noisy.shape != clean.shape:
        raise InputError(f"SIDD's noisy and clean blocks must have one shape, got {noisy.shape} and {clean.shape}.")
    return _sidd("SIDD validation", noisy, clean)


def _sidd_benchmark(path: Path) -> Dataset:
    return _sidd("SIDD benchmark", _sidd_blocks(path, "BenchmarkNoisyBlocksSrgb"), None)


def _sidd(title: str, noisy: NDArray[np.uint8], clean: NDArray[np.uint8] | None) -> Dataset:
    photos, blocks = noisy.shape[:2]

    def each() -> Iterator[Block]:
        for i, j in np.ndindex(photos, blocks):
            truth = None if clean is None else np.ascontiguousarray(clean[i, j])
            yield Block(i, j, f"photo {i + 1}, block {j + 1}", np.ascontiguousarray(noisy[i, j]), truth)

    return Dataset(title, photos * blocks, each, complete=40 * 32)


def _dnd(path: Path) -> Dataset:
    """Open the crops of DND that the server scores; it has no clean photos."""
    boxes = read_boxes(path / "info.mat")

    def each() -> Iterator[Block]:
        for i, corners in enumerate(boxes):
            photo = read_mat(path / "images_srgb" / f"{i + 1:04d}.mat", "InoisySRGB")
            for j, (top, left, bottom, right) in enumerate(corners):
                if not (0 <= top < bottom <= photo.shape[0] and 0 <= left < right <= photo.shape[1]):
                    raise InputError(f"Box {j + 1} of DND's photo {i + 1} lies outside its {photo.shape[:2]} pixels.")
                crop = photo[top:bottom, left:right]
                values = crop / np.float32(255) if crop.dtype == np.uint8 else crop
                yield Block(i, j, f"photo {i + 1}, box {j + 1}", np.ascontiguousarray(values, np.float32))

    return Dataset("DND", sum(map(len, boxes)), each, complete=50 * 20)


def read_boxes(path: Path) -> list[list[tuple[int, int, int, int]]]:
    """Read each photo's boxes from DND's info.mat: (top, left, bottom, right), 0-based, end-exclusive.

    The file is of version 7.3: `info.boundingboxes` refers to an array for each photo, whose rows are
    [top left bottom right] from 1, all inclusive. Raises NoInputError, InputError, UnavailableError.
    """
    h5py, _ = _libraries()
    if not is_file(path):
        raise NoInputError(f"There is no {path.name} in {path.parent}.")
    try:
        with h5py.File(path) as file:
            references = np.asarray(file["info"]["boundingboxes"]).ravel()
            tables = [np.asarray(file[reference]).T.astype(int) for reference in references]
    except Exception as error:  # h5py has many kinds of its own
        raise InputError(f"{path} does not hold DND's bounding boxes: {error}.") from error
    if any(table.ndim != 2 or table.shape[1] != 4 for table in tables):
        raise InputError(f"{path} must hold boxes of four numbers, got tables of {[t.shape for t in tables]}.")
    return [[(y1 - 1, x1 - 1, y2, x2) for y1, x1, y2, x2 in table.tolist()] for table in tables]


def _pairs(title: str) -> Callable[[Path], Dataset]:
    """Return the opener of a test set that is a folder of pairs of noisy and clean photos."""

    def open_pairs(path: Path) -> Dataset:
        pairs = find_pairs(path, path)

        def each() -> Iterator[Block]:
            for i, (noisy, clean) in enumerate(pairs):
                photo, truth = (to_uint8(read_srgb(side)) for side in (noisy, clean))
                yield Block(i, 0, noisy.name, photo, truth)

        return Dataset(title, len(pairs), each)

    return open_pairs


DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "sidd-val": _sidd_validation,
    "sidd-bench": _sidd_benchmark,
    "dnd": _dnd,
    "polyu": _pairs("PolyU"),
    "cc": _pairs("CC"),
}

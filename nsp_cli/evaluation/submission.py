"""Submission files for the servers of SIDD and DND, whose clean photos are secret.

SIDD benchmark, sRGB: a CSV file with the header ``ID,BLOCK`` and a row for each block, numbered from 0 over photos and
then their blocks; BLOCK is the base64 of its (H, W, 3) uint8 RGB bytes, row after row. As the authors' example
(AbdoKamel/sidd_kaggle_submit, prepare_submission_srgb.py) writes it for the contest ``sidd-benchmark-srgb-psnr``.

DND, sRGB track: ``bundled/NNNN.mat`` for each photo, MATLAB version 5, with the crops of its boxes in the cell array
``Idenoised``, and ``israw`` = false, ``eval_version`` = '1.0'; beside them ``NNNN_BB.mat``, the crops one by one as
``Idenoised_crop``. As the authors' submission kit writes them (bundle_submissions.py, which AP-BSN's program ships).

Not tested with either server.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nsp_cli.errors import OutputError, TargetExistsError, UnavailableError, UsageError
from nsp_cli.image.frame import Pixels, to_unit
from nsp_cli.system.atomic import write_atomically
from nsp_cli.system.files import exists, is_file, is_folder


class Submission(Protocol):
    """Protocol of a submission: it takes the denoised blocks in the order of the set, and writes them."""

    def add(self, photo: int, index: int, result: Pixels) -> None:
        """Add the result of a block, (H, W, 3) uint8 or float32; `photo` and `index` count from 0."""
        ...

    def close(self) -> Path:
        """Write the blocks that are not written yet; return the path to submit. Raises `OutputError`."""
        ...


class SiddCsv:
    """One CSV file, written when it is complete.

    Raises UsageError unless the target ends in .csv in a folder that exists, TargetExistsError where it exists.
    """

    def __init__(self, target: Path) -> None:
        if target.suffix != ".csv":
            raise UsageError(f"`submission` for SIDD is a .csv file, got {target}.")
        if not is_folder(target.parent):
            raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
        if exists(target):
            raise TargetExistsError(f"{target} exists already; choose another `submission`.")
        self.target = target
        self._text = io.BytesIO()
        self._text.write(b"ID,BLOCK\n")
        self._rows = 0

    def add(self, photo: int, index: int, result: Pixels) -> None:  # noqa: ARG002
        """Add the result of a block; see `Submission.add`. Raises ValueError for anything but uint8."""
        if result.dtype != np.uint8:
            raise ValueError(f"SIDD's blocks are uint8, got {result.dtype}")
        self._text.write(b"%d,%s\n" % (self._rows, base64.b64encode(np.ascontiguousarray(result).tobytes())))
        self._rows += 1

    def close(self) -> Path:
        """Write the CSV file and return its path. Raises `OutputError`."""
        write_atomically(self._text.getbuffer(), self.target, overwrite=False)
        return self.target


class DndBundle:
    """A folder of crops, and in it the folder `bundled`, whose content is submitted.

    Raises UsageError where the target is a file or its parent is missing, TargetExistsError where it is not empty.
    """

    def __init__(self, target: Path) -> None:
        if is_file(target) or not is_folder(target.parent):
            raise UsageError(f"`submission` for DND is a folder that can be made, got {target}.")
        if is_folder(target) and any(target.iterdir()):
            raise TargetExistsError(f"{target} is not empty; choose another `submission`.")
        _scipy_io()
        self.target, self.bundled = target, target / "bundled"
        self._photo, self._crops = 0, list[NDArray[np.float32]]()

    def add(self, photo: int, index: int, result: Pixels) -> None:
        """Write the result of a block; see `Submission.add`."""
        if photo != self._photo:
            self._bundle()
            self._photo = photo
        crop = np.clip(to_unit(result), 0, 1)
        self._save(self.target / f"{photo + 1:04d}_{index + 1:02d}.mat", {"Idenoised_crop": crop})
        self._crops.append(crop)

    def close(self) -> Path:
        """Write the last photo's bundle and return the folder of bundles."""
        self._bundle()
        return self.bundled

    def _bundle(self) -> None:
        """Write the crops of one photo that have been collected as one .mat file."""
        if not self._crops:
            return
        cells = np.empty(len(self._crops), object)
        for i, crop in enumerate(self._crops):
            cells[i] = crop
        self._save(
            self.bundled / f"{self._photo + 1:04d}.mat",
            {"Idenoised": cells, "israw": False, "eval_version": "1.0"},
        )
        self._crops.clear()

    def _save(self, path: Path, variables: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        _scipy_io().savemat(buffer, variables)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {path.parent} cannot be made: {error.strerror}.") from error
        write_atomically(buffer.getbuffer(), path, overwrite=False)


def _scipy_io() -> Any:
    try:
        import scipy.io
    except ImportError as error:
        raise UnavailableError("Submissions to DND need SciPy; install it with: pip install scipy.") from error
    return scipy.io


SUBMISSIONS: dict[str, Callable[[Path], Submission]] = {"sidd-bench": SiddCsv, "dnd": DndBundle}
"""The sets that have a server, by the names of `datasets.DATASETS`."""

"""The places that results of photos are written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nsp_cli.errors import UsageError
from nsp_cli.image import WRITABLE, output_suffix


@dataclass(frozen=True)
class Destination:
    """A place that results are written to, as the command line gives it.

    Attributes
    ----------
    path : Path or None
        A file or a folder, which need not exist yet. None writes beside each photo, with _nsp added to its name.
    is_folder : bool
        Whether `path` is a folder.
    format : str or None
        Format of the results, as a suffix without its dot; None keeps the photo's.
    """

    path: Path | None
    is_folder: bool
    format: str | None

    def for_photo(self, photo: Path, relative: Path) -> Path:
        """Return the output of a photo, whose path in a folder of outputs is `relative`.

        Raises
        ------
        UsageError
            The output is a file of another format than `format`.
        """
        if self.path is None:
            return self._renamed(photo, "_nsp")
        if self.is_folder:
            return self._renamed(self.path / relative)
        own = WRITABLE.get(self.path.suffix.lower())
        if self.format is not None and own not in (None, WRITABLE[f".{self.format}"]):
            raise UsageError(
                f"The format of {self.path} is not {self.format}; give it another suffix, or leave out --format."
            )
        return self.path

    def _renamed(self, path: Path, mark: str = "") -> Path:
        suffix = output_suffix(path.suffix) if self.format is None else f".{self.format}"
        return path.with_name(f"{path.stem}{mark}{suffix}")

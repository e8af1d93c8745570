"""Recognition of RAW files, and the options of their development. Imports no RAW library."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from nsp_cli.errors import UsageError
from nsp_cli.image.metadata.ifd import Directory, Tree

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FOVb", b"IIII", b"II\x1a\0\0\0HEAP")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 255, 262, 330, 50706
SENSOR_COLOURS = (32803, 34892)
"""PhotometricInterpretation of a mosaic and of linear RAW data."""


class WhiteBalance(StrEnum):
    """White balance of a RAW file's development: as set for the shot, by the picture's mean, or for daylight."""

    CAMERA = "camera"
    AUTO = "auto"
    DAYLIGHT = "daylight"


MAX_EXPOSURE = 5.0  # stops, brighter or darker


@dataclass(frozen=True)
class RawOptions:
    """Options of the development of a RAW file.

    Attributes
    ----------
    white_balance : str
        See `WhiteBalance`.
    exposure : float
        Brightening in stops, -5 … 5; values that become brighter than white are cut.
    linear : bool
        Whether to keep the camera's own colours, for a DNG, in which white balance and exposure stay open.

    Raises
    ------
    UsageError
        One is out of its range.
    """

    white_balance: str = WhiteBalance.CAMERA
    exposure: float = 0.0
    linear: bool = False

    def __post_init__(self) -> None:
        if self.white_balance not in tuple(WhiteBalance):
            choices = ", ".join(WhiteBalance)
            raise UsageError(f"`white_balance` must be one of {choices}, got '{self.white_balance}'.")
        if not -MAX_EXPOSURE <= self.exposure <= MAX_EXPOSURE:
            raise UsageError(f"`exposure` must be -{MAX_EXPOSURE:g} to {MAX_EXPOSURE:g} stops, got {self.exposure:g}.")
        if self.linear and (self.white_balance, self.exposure) != (WhiteBalance.CAMERA, 0):
            raise UsageError("White balance and exposure stay open in a DNG; leave out `white_balance` and `exposure`.")

    def as_linear(self) -> RawOptions:
        """Return the options for a DNG. Raises `UsageError` for settings that a DNG leaves open."""
        return replace(self, linear=True)


def is_raw(data: bytes, suffix: str = "") -> bool:
    """Test whether the bytes are a RAW file; the suffix decides only where TIFF's structure leaves it open."""
    start = bytes(data[:16])  # of bytes, or of mapped memory
    if start.startswith(_STARTS) or data[4:12] == b"ftypcrx " or data[6:14] == b"HEAPCCDR":
        return True
    if not start.startswith(_TIFF_STARTS):
        return False
    return data[8:10] == b"CR" or suffix.lower() in RAW_SUFFIXES or _is_raw_tiff(data)


def _is_raw_tiff(data: bytes) -> bool:
    try:
        tree = Tree(data)
        first = tree.directory(tree.first)
    except ValueError:
        return False
    if _DNG_VERSION in first.fields or tree.number(first.fields.get(_PHOTOMETRIC)) in SENSOR_COLOURS:
        return True
    return is_reduced(tree, first) and _SUB_IFDS in first.fields


def is_reduced(tree: Tree, page: Directory) -> bool:
    """Return whether a TIFF's page is a smaller picture of another."""
    new, old = (tree.number(page.fields.get(tag)) for tag in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE))
    return bool((new or 0) & 1) or old == 2

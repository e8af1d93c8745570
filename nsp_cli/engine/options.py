"""The settings of one `denoise` or `sr`: `DenoiseOptions`, which is frozen and passed on whole. Imports no torch."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from nsp_cli.engine.blending import check_blend
from nsp_cli.errors import UsageError
from nsp_cli.image import RawOptions
from nsp_cli.model.spec import Task

Strength = float | Literal["auto"]


class IfExists(StrEnum):
    """Actions when an output exists already."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    RENAME = "rename"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model, and the device and runtime that run it.

    Attributes
    ----------
    name : str, optional
        A name of `nsp models`, or a .safetensors or .onnx file; None for the default of the task.
    device, precision, backend : str
        See `loading.load_backend`.
    blind : int, optional
        Blind-spot radius at test time, 0 … 5; None for the model's own.
    coarse_chroma : bool, optional
        Whether the coarse part of the chroma comes from the photo at half its size; None for the model's own.

    Raises
    ------
    UsageError
        The radius is out of range.
    """

    name: str | None = None
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    blind: int | None = None
    coarse_chroma: bool | None = None

    def __post_init__(self) -> None:
        if self.blind is not None and not 0 <= self.blind <= 5:
            raise UsageError(f"`blind` must be from 0 to 5, got {self.blind}.")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that replace the model's own, see `loading.load_backend`."""
        given = {"test_shift": self.blind, "coarse_chroma": self.coarse_chroma}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class BlendOptions:
    """Strengths of the blend, before anything is measured; see `auto_strength.resolve_blend`.

    Attributes
    ----------
    strength : float or "auto"
        Percentage, 0 … 100; "auto" measures the noise of each photo.
    luma, chroma : float
        Percentages, see `Blend`.
    noise : float, optional
        The photo's noise level, see `Blend.noise`; None to measure it.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    strength: Strength = 100.0
    luma: float = 100.0
    chroma: float = 100.0
    noise: float | None = None

    def __post_init__(self) -> None:
        check_blend(100.0 if self.strength == "auto" else self.strength, self.luma, self.chroma, self.noise)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Options of the output files.

    Attributes
    ----------
    format : str, optional
        A value of `image.WRITABLE`, such as "jpeg"; None for the input's own.
    quality : int
        Quality of JPEG, WebP and AVIF, 1 to 100.
    keep_metadata : bool
        Whether all metadata are kept, or only colour profile and orientation.
    if_exists : IfExists
        Action when the output exists already.
    in_place : bool
        Whether the result replaces the photo.
    backup : bool
        Whether a photo that is replaced is kept as FILE.orig.
    preserve : bool
        Whether the output gets the mode, the extended attributes and the times of its photo.
    stamp : bool
        Whether version, model and settings are added to the history in the output's XMP.
    check_fidelity : bool
        Whether a result with shifted colours or a changed border is refused, see `fidelity.check_fidelity`.

    Raises
    ------
    UsageError
        The quality is out of range.
    """

    format: str | None = None
    quality: int = 95
    keep_metadata: bool = True
    if_exists: IfExists = IfExists.FAIL
    in_place: bool = False
    backup: bool = True
    preserve: bool = False
    stamp: bool = True
    check_fidelity: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"`quality` must be between 1 and 100, got {self.quality}.")


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions:
    """All settings of one `denoise` or `sr`.

    Attributes
    ----------
    task : Task
        The task: denoising, or a mode that enlarges.
    scale : int, optional
        Factor of enlargement that the model must have; None for any.
    tile : int
        Side of a tile in pixels; 0 to choose it from the free memory.
    model : ModelOptions
        The model, and the device and runtime that run it.
    blend : BlendOptions
        Strengths of the blend of photo and result.
    raw : RawOptions
        Development of RAW files.
    output : OutputOptions
        Format, name and metadata of the result.

    Raises
    ------
    UsageError
        The output is a DNG, and `raw` has settings that a DNG leaves open.
    """

    task: Task = Task.DENOISE
    scale: int | None = None
    tile: int = 0
    model: ModelOptions = field(default_factory=ModelOptions)
    blend: BlendOptions = field(default_factory=BlendOptions)
    raw: RawOptions = field(default_factory=RawOptions)
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        if self.output.format == "dng":
            self.raw.as_linear()  # raises for settings that a DNG leaves open


_PLACES: Mapping[str, tuple[str, str | None]] = {
    "task": ("task", None),
    "scale": ("scale", None),
    "tile": ("tile", None),
    "model": ("model", "name"),
    "blind": ("model", "blind"),
    "coarse_chroma": ("model", "coarse_chroma"),
    "device": ("model", "device"),
    "precision": ("model", "precision"),
    "strength": ("blend", "strength"),
    "luma": ("blend", "luma"),
    "chroma": ("blend", "chroma"),
    "noise": ("blend", "noise"),
    "raw_wb": ("raw", "white_balance"),
    "raw_exposure": ("raw", "exposure"),
    "quality": ("output", "quality"),
    "format": ("output", "format"),
    "metadata": ("output", "keep_metadata"),
    "if_exists": ("output", "if_exists"),
}
"""Name of a setting in JSON lines, stamps and config.toml → its fields in `DenoiseOptions`."""


def named_settings(options: DenoiseOptions, names: Iterable[str], optional: Container[str] = ()) -> dict[str, Any]:
    """Return some settings, by their names in JSON lines, stamps and config.toml; `optional` ones if not None."""
    values: dict[str, Any] = {}
    for name in names:
        part, field_name = _PLACES[name]
        value = getattr(options, part)
        value = value if field_name is None else getattr(value, field_name)
        if value is not None or name not in optional:
            values[name] = value
    return values


def with_settings(options: DenoiseOptions, values: Mapping[str, Any]) -> DenoiseOptions:
    """Return options with some settings replaced, by the names of `named_settings`. Raises `UsageError`."""
    for name, value in values.items():
        part, field_name = _PLACES[name]
        changed = value if field_name is None else replace(getattr(options, part), **{field_name: value})
        options = replace(options, **{part: changed})
    return options

"""Specifications of models and pipelines: plain data, no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from math import lcm
from typing import Annotated, Any, Self

from nsp_cli.errors import ModelError
from nsp_cli.model.renamed import update_description
from nsp_cli.system.arguments import Between, OneOf, check_arguments

_WIDEST = 2**16
"""Pixels of a halo or a tile, far above those of any network."""

_Channels = Annotated[int, Between(3, 3)]

FORMAT = 1
"""Version of the metadata below; a reader refuses a newer one."""


MIN_NETWORK_SIDE = 8
"""Pixels along a side of what a network is given: smaller photos are padded."""

_BLOTCH, _STRONG_BLOTCH = 4 / 255, 12 / 255


class Task(StrEnum):
    """The tasks of a pipeline (NSP paper, inference)."""

    DENOISE = "denoise"
    DIRECT = "direct"
    SHUFFLE = "shuffle"
    SHUFFLE_DENOISE = "shuffle-denoise"


class SrMode(StrEnum):
    """The tasks that enlarge, which are the modes of super-resolution."""

    DIRECT = Task.DIRECT
    SHUFFLE = Task.SHUFFLE
    SHUFFLE_DENOISE = Task.SHUFFLE_DENOISE


TaskName = Annotated[str, OneOf(tuple(Task))]
"""A `Task`, or its value as text."""


class Device(StrEnum):
    """Kinds of devices, by PyTorch's names; AUTO is a GPU if there is one, and "cuda:1" is the second GPU."""

    AUTO = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"


class BackendName(StrEnum):
    """Runtimes of a forward pass; AUTO depends on model, device and photo."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Number formats of a forward pass, whose last layer is always float32; AUTO depends on model and device."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class _Record:
    """A frozen dataclass that is stored as JSON in a file's metadata."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def updated(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of a file that an earlier version wrote as this version names them."""
        return values

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raise `ModelError` where `text` is not what `to_json` writes."""
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            values = {key: value for key, value in cls.updated(values).items() if key in known}
            check_arguments(cls, values)
            return cls(**values)
        except (ValueError, AttributeError, RecursionError) as error:
            raise ModelError(f"The model's {cls.__name__} cannot be read: {error}.") from error


@dataclass(frozen=True)
class ModelSpec(_Record):
    """Description of a model, stored with its weights: network, method, settings.

    Attributes
    ----------
    network, network_args
        A name in `networks.NETWORKS` and the arguments that build it.
    method, method_args
        A name in `methods.METHODS` and its settings, those of training and of inference.
    channels : int
        Colour channels of a photo; the value range is always sRGB-encoded [0, 1].
    training : mapping
        Provenance for people to read: steps, photos, seconds, version, …
    halo : int
        The effective halo of a tile in photo pixels, measured with `benchmarks/halo.py`; 0 if it was not measured, and
        tiles are then read with the whole receptive field. Without what the coarse chroma adds.
    format : int
        See `FORMAT`.
    """

    network: str
    network_args: Mapping[str, Any]
    method: str
    method_args: Mapping[str, Any]
    channels: _Channels = 3
    training: Mapping[str, Any] = field(default_factory=dict)
    halo: Annotated[int, Between(0, _WIDEST)] = 0
    format: int = FORMAT

    @classmethod
    def updated(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the former names of settings."""
        return update_description(values)

    def __post_init__(self) -> None:
        if self.format > FORMAT:
            raise ModelError(f"The model has format {self.format}, this nsp reads up to {FORMAT}; update nsp.")


@dataclass(frozen=True)
class PipelineSpec(_Record):
    """Tensor contract and tiling requirements of a pipeline.

    Attributes
    ----------
    task : str
        See `Task`.
    scale : int
        Output pixels for one input pixel, along a side.
    multiple : int
        Tile origins are multiples of this: PD stride × the network's own downsampling, and even with coarse chroma.
    halo : int
        Photo pixels around a tile that are read with it; a multiple of `multiple`. The receptive field, so that tiles
        equal the whole photo, or the smaller halo that was measured, see `ModelSpec.halo`.
    working_bytes : int
        Float32 activation memory for one input pixel, the largest moment of a forward pass.
    channels : int
        Colour channels in and out.
    noise_level : bool
        Whether a plane with the noise level follows the colours, the standard deviation of the photo's luma noise
        (white = 1), the same at every pixel; `planes` are all that go in.
    tile : int
        Side of a tile where the result depends on all of it, as with attention over the whole picture: every photo is
        cut into the same tiles whatever the memory, and they are faded into each other; 0 where any tile will do.
    side_multiple : int
        Both sides of the input of a graph that is the network alone are multiples of this.
    int8 : bool
        Whether it is a graph in int8, see `engine.export.qdq`.
    coarse_chroma : bool
        Whether `engine.process` runs it on the photo at half its size, too, see `engine.coarse_chroma`.
    coarse_input : bool
        Whether the result of another pipeline for the photo at half its size is an input, see `engine.half_size`: its
        channels are the last planes, each of its pixels repeated 2×2.
    """

    task: str
    scale: Annotated[int, Between(1, 8)]
    multiple: Annotated[int, Between(1, _WIDEST)]
    halo: Annotated[int, Between(0, _WIDEST)]
    working_bytes: Annotated[int, Between(1, 10**6)]
    channels: _Channels = 3
    noise_level: bool = False
    tile: Annotated[int, Between(0, _WIDEST)] = 0
    side_multiple: Annotated[int, Between(1, _WIDEST)] = 1
    int8: bool = False
    coarse_chroma: bool = False
    coarse_input: bool = False

    @property
    def planes(self) -> int:
        """Number of input planes: the photo's channels, the noise level and the coarse result if they are inputs."""
        return self.channels * (1 + self.coarse_input) + self.noise_level

    @property
    def blotch(self) -> float:
        """How much the colour of a blotch differs, white = 1; what differs more at half size is coloured detail.

        It is the root of a sum over R, G and B. Networks without the noise level leave stronger blotches of strong
        noise. Chosen on real noise and on thin coloured lines (docs/experiments.md, 2026-11-29).
        """
        return _BLOTCH if self.noise_level else _STRONG_BLOTCH

    def with_coarse_chroma(self, wanted: bool = True) -> PipelineSpec:
        """Return the same pipeline with or without the coarse chroma.

        It needs even tile origins, and two pixels more of halo: enlarging uses the neighbours of a pixel of half size.
        """
        if not wanted or self.coarse_chroma:
            return replace(self, coarse_chroma=wanted)
        multiple = lcm(self.multiple, 2)
        halo, tile = (-(-pixels // multiple) * multiple for pixels in (self.halo + 2, self.tile))
        return replace(self, multiple=multiple, halo=halo, tile=tile, coarse_chroma=True)

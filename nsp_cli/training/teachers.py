"""Teachers: models whose outputs are training targets, each with several inference variants.

A variant is a set of settings of the teacher's method (a blind shift, a phase) and one of the eight orientations of
the photo. The output of each variant is a target. Source: the six blind shifts of recharged distillation (APR-RD, AAAI
2025); phases, orientations and several teachers are ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn.modules.module import register_module_forward_pre_hook

from nsp_cli.engine.backends.interruptible import checking
from nsp_cli.engine.loading import load_backend
from nsp_cli.engine.process import process
from nsp_cli.errors import UsageError
from nsp_cli.image import Frame
from nsp_cli.image.frame import Pixels
from nsp_cli.methods import build_method
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import read_spec
from nsp_cli.ops.orientations import ORIENTATIONS, array_to_upright, orient_array
from nsp_cli.system.version import __version__
from nsp_cli.training.cache import OutputCache

_FEWEST = 4
"""Default number of variants of a teacher whose method has fewer: orientations of the photo give the others."""


@dataclass(frozen=True)
class Variant:
    """One way to run a teacher.

    Attributes
    ----------
    settings : mapping
        Settings of the teacher's method in this variant.
    orientation : int
        Orientation of the photo, see `ops.orientations`.
    """

    settings: Mapping[str, Any]
    orientation: int


@dataclass(frozen=True)
class Teacher:
    """A model's file, identified by its hash, and its variants."""

    path: Path
    sha256: str
    variants: tuple[Variant, ...]


def find_teacher(model: str, count: int) -> Teacher:
    """Look a model up by name or path. Raises `ModelError` where there is none, `UsageError` for too many variants.

    Parameters
    ----------
    count : int
        Number of variants: the method's own ones first, then these again for each further orientation of the photo; 0
        for the method's own, filled up to four.
    """
    path = registry.resolve(model)
    own = _variants_of_method(path)
    if not 0 <= count <= len(own) * ORIENTATIONS:
        raise UsageError(f"`teacher_views` for {path.name} must be from 0 to {len(own) * ORIENTATIONS}, got {count}.")
    count = count or max(len(own), _FEWEST)
    return Teacher(path, registry.sha256(path), tuple(Variant(own[i % len(own)], i // len(own)) for i in range(count)))


def _variants_of_method(path: Path) -> Sequence[Mapping[str, Any]]:
    if path.suffix == ".onnx":  # whose settings are fixed
        return ({},)
    spec = read_spec(path)
    return build_method(spec.method, spec.method_args).inference_variants


def identities(teachers: Sequence[Teacher]) -> list[dict[str, Any]]:
    """Identify the teachers by file name, hash and number of variants, for the weights' metadata and for resuming."""
    return [
        {"file": teacher.path.name, "sha256": teacher.sha256, "views": len(teacher.variants)} for teacher in teachers
    ]


class TeacherInterrupt(KeyboardInterrupt):
    """A stop was requested while a teacher ran; what it had computed of its output is lost.

    A `KeyboardInterrupt`, which backends do not turn into errors of their own.
    """


@dataclass(frozen=True)
class TeacherTargets:
    """Read a photo together with the outputs of all teachers; each output is computed once and cached.

    Parameters
    ----------
    read : callable
        Returns the (H, W, 1 or 3) sRGB pixels of a photo, the teachers' input.
    device : str
        Device that the teachers run on.
    stop : callable
        Called while a teacher runs; True ends the work with `TeacherInterrupt`.
    """

    teachers: Sequence[Teacher]
    cache: OutputCache
    read: Callable[[Path], Pixels]
    device: str = "auto"
    stop: Callable[[], bool] = field(default=lambda: False)

    def __call__(self, path: Path) -> tuple[Pixels, ...]:
        """Return the photo and one layer for each teacher and variant, of one size and depth.

        Raises `InputError` and `TeacherInterrupt`.
        """
        photo = self.read(path)
        digest = _digest(photo)
        return photo, *(
            self._cached(photo, digest, teacher, variant) for teacher in self.teachers for variant in teacher.variants
        )

    def _cached(self, photo: Pixels, digest: str, teacher: Teacher, variant: Variant) -> Pixels:
        identity = [digest, teacher.sha256, dict(variant.settings), variant.orientation, __version__]
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return self.cache.get(key, photo.shape, photo.dtype, lambda: self._compute(photo, teacher, variant))

    def _compute(self, photo: Pixels, teacher: Teacher, variant: Variant) -> Pixels:
        self._check()
        # Loaded for each output and not kept: loading takes a moment, an output takes seconds to minutes.
        backend = load_backend(teacher.path, device=self.device, settings=variant.settings)
        oriented = Frame(np.ascontiguousarray(orient_array(photo, variant.orientation)))
        # A tile may take minutes: graphs are interrupted within it, and networks of torch before each of their layers.
        with checking(self._check), register_module_forward_pre_hook(lambda *_: self._check()):
            output = process(oriented, backend, report=self._check)
        return np.ascontiguousarray(array_to_upright(output.pixels, variant.orientation))

    def _check(self, fraction: float = 0.0) -> None:
        if fraction < 1 and self.stop():  # an output that is complete is cached first
            raise TeacherInterrupt


def _digest(photo: Pixels) -> str:
    hashed = hashlib.sha256(f"{photo.shape} {photo.dtype}".encode())
    hashed.update(np.ascontiguousarray(photo).data)
    return hashed.hexdigest()

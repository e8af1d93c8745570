"""The configuration of a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.model.renamed import update_description
from nsp_cli.system.arguments import ArgumentError, Between, OneOf, check_fields
from nsp_cli.training.optimizers import OPTIMIZERS

SCHEDULES = ("cosine", "constant", "step")
AUGMENTATIONS = ("all", "flips")
"""Values of `TrainConfig.orientations`."""

PRECISIONS = ("auto", "fp32", "bf16")
"""Values of `TrainConfig.precision`: those of `model.spec.Precision` in which gradients are large enough."""

_Count = Annotated[int, Between(0, 10**9)]


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of `training.train`.

    Attributes
    ----------
    method, method_args, network, network_args
        See `ModelSpec`.
    steps : int, optional
        The budget in steps, 1 to 10^9. Exactly one of `steps` and `minutes` is given; the schedule ends with it.
    minutes : float, optional
        The budget in minutes, above 0 and up to 10^6.
    batch : int
        Crops in a step, over all processes, 1 to 4096.
    patch : int
        Side of a crop in pixels, 1 to 8192; a method may need more than 1, see `Method.smallest_patch`.
    lr : float
        Peak learning rate, above 0.
    optimizer : str
        One of OPTIMIZERS.
    weight_decay : float
        Weight decay of the optimizer, 0 to 1000.
    warmup : int
        Steps of linear warm-up, 0 for none.
    schedule : str
        "cosine" (to zero), "constant", or "step": divided by ten after every `lr_step` steps.
    lr_step : int
        Steps between two drops of the learning rate: above 0 for the schedule "step", else 0.
    validation_every : int
        Every n-th photo is for validation and not trained on; 0 trains on all.
    orientations : str
        One of AUGMENTATIONS: "all" eight flips and rotations of a crop, or "flips" (four).
    ema : float
        Decay per step of the weights' moving average, 0 to below 1; 0 for none.
    clip : float
        Largest norm of the gradient, 0 to 10^6; 0 for no limit.
    keep : float or None
        Weight interpolation (WiSE-FT): the fraction of the initial weights in the written ones, 0 to below 1. None is
        0, for which `adapting.adapt` sets another default.
    precision : str
        One of PRECISIONS; "auto" is bf16 where the device has it.
    compile : bool or None
        Whether to compile the network with torch.compile. None compiles it where that makes steps faster, which is on
        CUDA (`benchmarks/training_step.py`).
    seed : int
        Random seed of crops, pairs and initial weights, 0 to 999,999.
    save_every : int
        Steps between two states on the disk, with validation loss and preview; 1 or more.
    cache_megabytes : int
        Limit in 10^6 bytes of the decoded photos in memory.
    teachers : tuple of str
        Names or paths of the models to distil.
    teacher_views : int
        Number of inference variants of each teacher, 0 to 1000, see `teachers.find_teacher`.
    teacher_cache_megabytes : int
        Limit in 10^6 bytes of the teachers' outputs on the disk, for this and later runs.

    Raises
    ------
    UsageError
        A value has another type or is out of its range, `precision` is "fp16", the budget is missing or given twice, or
        `lr_step` does not fit the schedule.
    """

    method: str = "nsp"
    method_args: Mapping[str, Any] = field(default_factory=dict)
    network: str = "dbsn"
    network_args: Mapping[str, Any] = field(default_factory=dict)
    steps: Annotated[int, Between(1, 10**9)] | None = None
    minutes: Annotated[float, Between(0, 10**6, "(]")] | None = None
    batch: Annotated[int, Between(1, 4096)] = 8
    patch: Annotated[int, Between(1, 8192)] = 192
    lr: Annotated[float, Between(0, 1e30, "(]")] = 1e-3
    optimizer: Annotated[str, OneOf(tuple(OPTIMIZERS))] = "adamw"
    weight_decay: Annotated[float, Between(0, 1000)] = 1e-4
    warmup: _Count = 100
    schedule: Annotated[str, OneOf(SCHEDULES)] = "cosine"
    lr_step: _Count = 0
    validation_every: _Count = 10
    orientations: Annotated[str, OneOf(AUGMENTATIONS)] = "all"
    ema: Annotated[float, Between(0, 1, "[)")] = 0.998
    clip: Annotated[float, Between(0, 10**6)] = 1.0
    keep: Annotated[float, Between(0, 1, "[)")] | None = None
    precision: Annotated[str, OneOf(PRECISIONS)] = "auto"
    compile: bool | None = None
    seed: Annotated[int, Between(0, 999_999)] = 0
    save_every: Annotated[int, Between(1, 10**9)] = 500
    cache_megabytes: _Count = 2000
    teachers: tuple[str, ...] = ()
    teacher_views: Annotated[int, Between(0, 1000)] = 0
    teacher_cache_megabytes: _Count = 10_000

    def __post_init__(self) -> None:
        if self.precision == "fp16":
            raise UsageError("`precision=fp16` loses small gradients in training; use bf16, fp32 or auto.")
        try:
            check_fields(self)
        except ArgumentError as error:
            raise UsageError(f"`{error.name}` {error.reason}.") from error
        object.__setattr__(self, "teachers", tuple(self.teachers))  # JSON gives a list
        if (self.steps is None) == (self.minutes is None):
            raise UsageError("Training needs a budget: either `steps` or `minutes`.")
        if (self.schedule == "step") != (self.lr_step > 0):
            raise UsageError("The schedule 'step' needs lr_step above 0, and the other schedules need lr_step 0.")

    def with_budget(self, steps: int | None, minutes: float | None) -> TrainConfig:
        """Return the configuration with the budget replaced, if one is given.

        Parameters
        ----------
        steps : int or None
            The budget in steps.
        minutes : float or None
            The budget in minutes. With both None, the configuration keeps its budget.

        Raises
        ------
        UsageError
            Both are given, or one is out of its range.
        """
        return self if steps is None and minutes is None else replace(self, steps=steps, minutes=minutes)

    def to_json(self) -> str:
        """Serialize the settings as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Parse settings written by `to_json`. Raises `ModelError`."""
        try:
            values = json.loads(text)
            known = {f.name for f in fields(cls)}
            if not set(values) <= known:
                raise ModelError(f"The run was made by another nsp: it has the settings {sorted(set(values) - known)}.")
            return cls(**update_description(values))
        except (ValueError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise ModelError(f"The settings of the run cannot be read: {error}") from error

"""The configuration of a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.model.renamed import update_description
from nsp_cli.system.arguments import Between, check_arguments
from nsp_cli.training.optimizers import OPTIMIZERS

SCHEDULES = ("cosine", "constant", "step")
ORIENTATIONS = ("all", "flips")
PRECISIONS = ("auto", "fp32", "bf16")
"""Values of `TrainConfig.precision`: those of `model.spec.Precision` in which gradients are large enough."""

_Count = Annotated[int, Between(0, 10**9)]


@dataclass(frozen=True)
class TrainConfig:
    """Configuration of `training.train`.

    Attributes
    ----------
    method, method_args, network, network_args : see `ModelSpec`
    steps, minutes : the budget, exactly one of the two; the schedule ends with it
    batch : photos in a step, over all processes; patch : their side in pixels
    lr, optimizer, weight_decay, warmup : peak learning rate, one of OPTIMIZERS, its decay, steps of linear warm-up
    schedule : "cosine" (to zero), "constant", or "step": divided by ten after every `lr_step` steps
    lr_step : steps between two drops of the learning rate, for "step" alone
    validation_every : every n-th photo is for validation and not trained on; 0 trains on all
    orientations : "all" eight flips and rotations of a crop, or "flips" (four)
    ema : decay of the weights' moving average, 0 for none; clip : largest gradient norm, 0 for none
    keep : weight interpolation (WiSE-FT), the fraction of the initial weights in the written ones; None is 0, or 0.7
        when adapting
    precision : one of PRECISIONS; "auto" is bf16 where the device has it
    compile : torch.compile the network; None where it helps, which is on CUDA (`benchmarks/training_step.py`)
    seed : decides crops, pairs and initial weights
    save_every : steps between two states on the disk, with validation loss and preview
    cache_megabytes : decoded photos that are kept
    teachers, teacher_views : models to distil, names or paths; inference variants of each, see `teachers.find_teacher`
    teacher_cache_megabytes : limit of the teachers' outputs that are kept on the disk for this and later runs
    """

    method: str = "nsp"
    method_args: Mapping[str, Any] = field(default_factory=dict)
    network: str = "dbsn"
    network_args: Mapping[str, Any] = field(default_factory=dict)
    steps: _Count | None = None
    minutes: Annotated[float, Between(0, 10**6)] | None = None
    batch: Annotated[int, Between(0, 4096)] = 8
    patch: Annotated[int, Between(0, 8192)] = 192
    lr: Annotated[float, Between(0, 1e30)] = 1e-3
    optimizer: str = "adamw"
    weight_decay: Annotated[float, Between(0, 1000)] = 1e-4
    warmup: _Count = 100
    schedule: str = "cosine"
    lr_step: _Count = 0
    validation_every: _Count = 10
    orientations: str = "all"
    ema: Annotated[float, Between(0, 1)] = 0.998
    clip: Annotated[float, Between(0, 10**6)] = 1.0
    keep: float | None = None
    precision: str = "auto"
    compile: bool | None = None
    seed: int = 0
    save_every: _Count = 500
    cache_megabytes: _Count = 2000
    teachers: tuple[str, ...] = ()
    teacher_views: Annotated[int, Between(0, 1000)] = 0
    teacher_cache_megabytes: _Count = 10_000

    def __post_init__(self) -> None:
        try:
            check_arguments(type(self), {field.name: getattr(self, field.name) for field in fields(self)})
        except ValueError as error:
            raise UsageError(f"Training: {error}.") from error
        object.__setattr__(self, "teachers", tuple(self.teachers))  # JSON gives a list
        if (self.steps is None) == (self.minutes is None):
            raise UsageError("Training needs a budget: either `steps` or `minutes`.")
        if (self.steps is not None and self.steps < 1) or (self.minutes is not None and self.minutes <= 0):
            raise UsageError("The training budget must be above zero.")
        if self.batch < 1 or self.patch < 1 or self.lr <= 0 or not 0 <= self.ema < 1 or self.save_every < 1:
            raise UsageError("Training needs batch, patch, lr and save-every above zero, and 0 <= ema < 1.")
        if self.keep is not None and not 0 <= self.keep < 1:
            raise UsageError(f"`keep` must be 0 or more and less than 1, got {self.keep:g}.")
        if not 0 <= self.seed < 10**6:
            raise UsageError(f"`seed` must be between 0 and 999999, got {self.seed}.")
        if self.precision not in PRECISIONS:
            why = "; fp16 loses small gradients" if self.precision == "fp16" else ""
            raise UsageError(f"Training is in `precision=bf16`, fp32 or auto, got {self.precision}{why}.")
        if self.optimizer not in OPTIMIZERS or self.schedule not in SCHEDULES:
            raise UsageError(
                f"The optimizer is one of {', '.join(OPTIMIZERS)}, the schedule one of {', '.join(SCHEDULES)}."
            )
        if (self.schedule == "step") != (self.lr_step > 0):
            raise UsageError("The schedule 'step' needs lr_step above zero, and no other schedule takes it.")
        if self.validation_every < 0 or self.orientations not in ORIENTATIONS:
            raise UsageError(
                f"Training needs validation_every of 0 or more and orientations of {', '.join(ORIENTATIONS)}."
            )

    def with_budget(self, steps: int | None, minutes: float | None) -> TrainConfig:
        """Return the configuration with the budget replaced, if one is given."""
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

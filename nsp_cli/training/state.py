"""The state of a training run that can be resumed, in one safetensors file; before its first step, in a JSON file."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from nsp_cli.errors import ModelError, OutputError
from nsp_cli.model.checkpoint import load_tensors, save_tensors
from nsp_cli.model.registry import sha256
from nsp_cli.system.atomic import write_atomically
from nsp_cli.system.files import exists, sentence
from nsp_cli.training.config import TrainConfig
from nsp_cli.training.data import contents

_FILE = "state.safetensors"
_ANALYSIS = "analysis.json"

OTHER_PHOTOS = "The run was made with other photos, or one has changed; `resume` needs the same ones."


def ema_of(network: nn.Module, decay: float) -> AveragedModel:
    """Create a moving average of the weights whose decay grows with the step, up to `decay`.

    Short runs are therefore not dominated by the initial weights.
    """

    def average(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int) -> None:
        n = int(updates)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))  # pyright: ignore

    return AveragedModel(network, multi_avg_fn=average)  # pyright: ignore[reportArgumentType]


def learning_rate(settings: TrainConfig, step: int, progress: float) -> float:
    """Return the learning rate of a step: a linear warm-up, then the schedule of `TrainConfig.schedule`.

    Parameters
    ----------
    settings : TrainConfig
        Peak learning rate, warm-up and schedule.
    step : int
        Number of the step, from 0.
    progress : float
        Fraction of the budget that is used up, 0 to 1: the cosine reaches zero with it.
    """
    warm = min(1.0, (step + 1) / (settings.warmup + 1))
    if settings.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    elif settings.schedule == "step":
        factor = 0.1 ** (step // settings.lr_step)
    else:
        factor = 1.0
    return settings.lr * warm * factor


@dataclass
class State:
    """State of a run.

    Attributes
    ----------
    settings : TrainConfig
        The configuration of the run.
    network, ema, optimizer
        The network that is trained, the moving average of its weights, and the optimizer.
    step : int
        Number of completed steps.
    seconds : float
        Time that was spent on steps.
    photos, teachers : str
        Hash of the photos, and identities of the teachers as JSON: a run is resumed with the same ones only.
    initial : mapping of Tensor, optional
        Initial weights for the interpolation by `settings.keep`; None without it.
    """

    settings: TrainConfig
    network: nn.Module
    ema: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    photos: str = ""
    teachers: str = "[]"
    initial: dict[str, Tensor] | None = None

    @property
    def progress(self) -> float:
        """The fraction of the budget that is used up, 0 … 1."""
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        return self.seconds / 60 / (self.settings.minutes or 1)

    def result(self) -> nn.Module:
        """Return the moving average, or the last weights; with `keep`, a copy interpolated with the initial ones."""
        learned: nn.Module = self.ema.module if self.settings.ema else self.network
        if self.initial is None:
            return learned
        fraction = self.settings.keep or 0.0
        blended = copy.deepcopy(learned)
        for name, weight in blended.state_dict().items():
            weight.lerp_(self.initial[name].to(weight), fraction)
        return blended

    def resume(self, folder: Path, photos: Sequence[Path], teachers: str) -> None:
        """Load the state of a run that was made with the same photos and teachers. Raises `ModelError` for another."""
        self.load(folder)
        names = "\n".join(path.name for path in photos).encode("utf-8", "surrogateescape")
        if self.photos not in (contents(photos), hashlib.sha256(names).hexdigest()):  # earlier versions: names alone
            raise ModelError(OTHER_PHOTOS)
        if self.teachers != teachers:
            raise ModelError("A teacher's file has changed since the run began; `resume` needs the same one.")

    def save(self, folder: Path) -> None:
        """Write the state over the last one. Raises `OutputError`."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        tensors |= {f"start.{k}": v for k, v in (self.initial or {}).items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        metadata = {
            "settings": self.settings.to_json(),
            "step": str(self.step),
            "seconds": repr(self.seconds),
            "photos": self.photos,
            "teachers": self.teachers,
        }
        # Tensors that share memory cannot be in one safetensors file.
        save_tensors({k: v.clone() for k, v in tensors.items()}, metadata, folder / _FILE)
        PendingAnalysis.remove(folder)

    def load(self, folder: Path) -> None:
        """Load a saved state of a run with the same settings. Raises `ModelError`."""
        tensors, metadata = load_tensors(folder / _FILE)
        try:
            self.network.load_state_dict(_under("network.", tensors))
            self.ema.load_state_dict(_under("ema.", tensors))
            self.initial = _under("start.", tensors) or None
            groups = self.optimizer.state_dict()["param_groups"]
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in _under("optimizer.", tensors).items():
                index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
            self.photos, self.teachers = metadata["photos"], metadata.get("teachers", "[]")
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(f"The run in {folder} cannot be continued: its state does not fit ({error}).") from error


@dataclass(frozen=True)
class PendingAnalysis:
    """The inputs of a run's noise analysis, on the disk from the start of the analysis until the first state is saved.

    Attributes
    ----------
    settings : TrainConfig
        Settings before the analysis.
    start : Path
        File of the weights to start from.
    sha256 : str
        Hash of that file.
    photos : str
        Hash of the photos, see `data.contents`.
    """

    settings: TrainConfig
    start: Path
    sha256: str
    photos: str

    @classmethod
    def of(cls, settings: TrainConfig, start: Path, photos: Sequence[Path]) -> PendingAnalysis:
        """Describe the analysis that is about to begin. Raises `ModelError`."""
        return cls(settings, start.absolute(), sha256(start), contents(photos))

    def check(self, photos: Sequence[Path]) -> None:
        """Raise `ModelError` if the photos or the weights are not those of the stopped analysis."""
        if self.photos != contents(photos):
            raise ModelError(OTHER_PHOTOS)
        if self.sha256 != sha256(self.start):
            raise ModelError(f"{self.start} has changed since the run began; `resume` needs the same weights.")

    def save(self, folder: Path) -> None:
        """Write the file into the folder of the run. Raises `OutputError`."""
        values = {**asdict(self), "settings": self.settings.to_json(), "start": str(self.start)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(sentence(error)) from error
        write_atomically(json.dumps(values).encode(), folder / _ANALYSIS, overwrite=True)

    @classmethod
    def load(cls, folder: Path) -> PendingAnalysis | None:
        """Load the file of a run that has no state yet; None if there is none. Raises `ModelError`."""
        if exists(folder / _FILE) or not exists(folder / _ANALYSIS):
            return None
        try:
            found = json.loads((folder / _ANALYSIS).read_bytes())
            settings, start, digest, photos = (str(found[field.name]) for field in fields(cls))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(f"{folder / _ANALYSIS} is not the noise analysis of a training run of nsp.") from error
        return cls(TrainConfig.from_json(settings), Path(start), digest, photos)

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the file, and the folder if it is then empty."""
        with suppress(OSError):
            (folder / _ANALYSIS).unlink()
            folder.rmdir()


def has_run(folder: Path) -> bool:
    """Return whether there is a run to resume."""
    return exists(folder / _FILE) or exists(folder / _ANALYSIS)


def saved_settings(folder: Path) -> TrainConfig:
    """Load the settings of the run in `folder`. Raises `ModelError` if there is none."""
    if not exists(folder / _FILE):
        raise ModelError(f"There is no run to continue in {folder}.")
    metadata = load_tensors(folder / _FILE)[1]
    if "settings" not in metadata:
        raise ModelError(f"{folder / _FILE} is not the state of a training run of nsp.")
    return TrainConfig.from_json(metadata["settings"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

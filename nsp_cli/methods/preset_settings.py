"""Settings that the presets of several methods have in common; each method's presets are in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PHOTOGRAPHER = "photographer"
"""Name of the preset of every method that is for thirty photos, a CPU and half an hour."""


@dataclass(frozen=True)
class Preset:
    """A named starting point for training.

    Attributes
    ----------
    summary : str
        One line for people.
    settings : mapping
        Fields of `training.config.TrainConfig` except `method`; what is missing has its default there.
    continues : bool
        Whether it is a later stage of a training, which starts from weights, with the learning rate as given.
    """

    summary: str
    settings: Mapping[str, Any]
    continues: bool = False


PUBLISHED: Mapping[str, Any] = {
    "optimizer": "adam",
    "weight_decay": 0.0,
    "warmup": 0,
    "ema": 0.0,
    "clip": 0.0,
    "precision": "fp32",
    "validation_every": 0,
}
"""Settings common to all papers: Adam, float32, and all photos are for training."""

APR_RD: Mapping[str, Any] = {**PUBLISHED, "batch": 8, "lr": 3e-4, "schedule": "cosine"}
"""Settings common to APR and RD as published (AAAI 2025)."""

NSP_SCHEDULE: Mapping[str, Any] = {
    **PUBLISHED,
    "network": "dbsn",
    "steps": 750 * 400,
    "batch": 16,
    "patch": 160,
    "lr": 1e-4,
    "schedule": "constant",
    "save_every": 400,
}
"""The schedule of the NSP paper, also for methods whose own number of steps is not published."""

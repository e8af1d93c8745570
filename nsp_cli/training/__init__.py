"""One trainer and one data set of noisy photos, for every method."""

from nsp_cli.training.adapting import adapt, references_in
from nsp_cli.training.config import TrainConfig
from nsp_cli.training.job import Job, Progress
from nsp_cli.training.presets import (
    PHOTOGRAPHER,
    PRESETS,
    continues,
    describe_methods,
    find_preset,
    needs_clean_photos,
)
from nsp_cli.training.state import PendingAnalysis, has_run, saved_settings
from nsp_cli.training.trainer import train

__all__ = [
    "PHOTOGRAPHER",
    "PRESETS",
    "Job",
    "PendingAnalysis",
    "Progress",
    "TrainConfig",
    "adapt",
    "continues",
    "describe_methods",
    "find_preset",
    "has_run",
    "needs_clean_photos",
    "references_in",
    "saved_settings",
    "train",
]

"""One trainer and one data set of noisy photos, for every method."""

from nsp_cli.training.adapting import adapt, references_in
from nsp_cli.training.config import TrainSettings
from nsp_cli.training.presets import PHOTOGRAPHER, PRESETS, Preset, describe_methods, find_preset, wants_clean
from nsp_cli.training.state import has_run, saved_settings
from nsp_cli.training.trainer import Job, Progress, train

__all__ = [
    "PHOTOGRAPHER",
    "PRESETS",
    "Job",
    "Preset",
    "Progress",
    "TrainSettings",
    "adapt",
    "describe_methods",
    "find_preset",
    "has_run",
    "references_in",
    "saved_settings",
    "train",
    "wants_clean",
]

"""One trainer and one data set of noisy photos, for every method."""

from nsp_cli.training.settings import PRESETS, Preset, TrainSettings
from nsp_cli.training.state import has_run, saved_settings
from nsp_cli.training.trainer import Job, Progress, train

__all__ = ["PRESETS", "Job", "Preset", "Progress", "TrainSettings", "has_run", "saved_settings", "train"]

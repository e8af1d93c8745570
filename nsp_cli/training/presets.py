"""The methods' presets as settings of training; every flag still overrides them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsp_cli.errors import UsageError
from nsp_cli.methods import PHOTOGRAPHER, REGISTERED, build_method
from nsp_cli.training.config import TrainSettings

__all__ = ["PHOTOGRAPHER", "PRESETS", "Preset", "describe_methods", "find_preset", "wants_clean"]


@dataclass(frozen=True)
class Preset:
    """A named starting point."""

    settings: TrainSettings
    summary: str

    def with_budget(self, steps: int | None, minutes: float | None) -> TrainSettings:
        """Return the preset's settings, with the budget replaced if one is given."""
        if steps is None and minutes is None:
            return self.settings
        return replace(self.settings, steps=steps, minutes=minutes)


PRESETS: dict[str, dict[str, Preset]] = {
    method.name: {
        name: Preset(TrainSettings(method=method.name, **preset.settings), preset.summary)
        for name, preset in method.presets.items()
    }
    for method in REGISTERED
}
"""By method and name; defined in the methods' own files."""


def describe_methods() -> str:
    """Return a line for each method, and below it one for each of its presets."""
    lines: list[str] = []
    for method in REGISTERED:
        lines.append(f"{method.name}: {method.summary}")
        lines.extend(f"  --preset {name}: {preset.summary}" for name, preset in method.presets.items())
    return "\n".join(lines)


def wants_clean(settings: TrainSettings) -> bool:
    """Whether the method learns from clean photos; noisy ones then need `training.adapt` first."""
    return build_method(settings.method, settings.method_args).wants_clean


def find_preset(method: str, name: str) -> Preset:
    """Raise `UsageError` for a method or a preset that there is not."""
    if method not in PRESETS:
        raise UsageError(f"--method must be one of {', '.join(PRESETS)}, got '{method}'.")
    if name not in PRESETS[method]:
        raise UsageError(f"--preset of {method} must be one of {', '.join(PRESETS[method])}, got '{name}'.")
    return PRESETS[method][name]

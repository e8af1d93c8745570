"""The methods' presets as training configurations."""

from __future__ import annotations

from nsp_cli.errors import UsageError
from nsp_cli.methods import PHOTOGRAPHER, REGISTERED, build_method
from nsp_cli.training.config import TrainConfig

__all__ = ["PHOTOGRAPHER", "PRESETS", "continues", "describe_methods", "find_preset", "needs_clean_photos"]


PRESETS: dict[str, dict[str, TrainConfig]] = {
    method.name: {name: TrainConfig(method=method.name, **preset.settings) for name, preset in method.presets.items()}
    for method in REGISTERED
}
"""Configurations by method and preset; the presets are defined in the methods' files."""


def describe_methods() -> str:
    """Return a line for each method, and below it one for each of its presets."""
    lines: list[str] = []
    for method in REGISTERED:
        lines.append(f"{method.name}: {method.summary}")
        lines.extend(f"  --preset {name}: {preset.summary}" for name, preset in method.presets.items())
    return "\n".join(lines)


def needs_clean_photos(config: TrainConfig) -> bool:
    """Return whether a method trains on clean photos; noisy photos then need `training.adapt` first."""
    return build_method(config.method, config.method_args).needs_clean_photos


def continues(method: str, name: str) -> bool:
    """Return whether a preset is a later stage, see `Preset`; False for an unknown one."""
    presets = next((registered.presets for registered in REGISTERED if registered.name == method), {})
    return name in presets and presets[name].continues


def find_preset(method: str, name: str) -> TrainConfig:
    """Return a preset by method and name. Raises `UsageError` where there is none."""
    if method not in PRESETS:
        raise UsageError(f"`method` must be one of {', '.join(PRESETS)}, got '{method}'.")
    if name not in PRESETS[method]:
        raise UsageError(f"`preset` of {method} must be one of {', '.join(PRESETS[method])}, got '{name}'.")
    return PRESETS[method][name]

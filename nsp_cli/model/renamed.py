"""Former names of settings, which model files, saved runs and `--set` of the last version use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHOD_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "simulated": {
        "own": "own_prob",
        "plain": "neutral_isp_prob",
        "nights": "low_light_prob",
        "painted": "synthetic_scene_prob",
        "turns": "ensemble",
    },
    "apr": {"shift": "train_shift", "blind": "test_shift"},
}
"""New names by method and old name."""

NETWORK_ARGUMENTS: Mapping[str, Mapping[str, str]] = {"atbsn": {"blind": "blind_spot_size"}}
"""New names by network and old name."""


def with_new_names(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return settings with old names replaced; a value under the new name takes precedence."""
    new = {renamed[name]: value for name, value in values.items() if name in renamed}
    return new | {name: value for name, value in values.items() if name not in renamed}


def update_method_settings(method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of a method with old names replaced.

    `inputs` of `nsp` was also the number of grids of canonical pairs, which is `canonical_grids` now.
    """
    updated = with_new_names(values, METHOD_SETTINGS.get(method, {}))
    inputs = updated.get("inputs")
    if method == "nsp" and updated.get("strategy") == "canonical" and isinstance(inputs, int) and inputs > 1:
        del updated["inputs"]
        updated.setdefault("canonical_grids", inputs)
    return updated


def update_description(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `ModelSpec` or a `TrainConfig`, read from a file, with old names replaced."""
    updated = dict(values)
    if isinstance(values.get("method_args"), dict):
        updated["method_args"] = update_method_settings(str(values.get("method")), values["method_args"])
    if isinstance(values.get("network_args"), dict):
        renamed = NETWORK_ARGUMENTS.get(str(values.get("network")), {})
        updated["network_args"] = with_new_names(values["network_args"], renamed)
    return updated

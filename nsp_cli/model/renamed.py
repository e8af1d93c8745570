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


def update_description(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `ModelSpec` or a `TrainConfig`, read from a file, with old names replaced."""
    updated = dict(values)
    for field, owner, table in (
        ("method_args", "method", METHOD_SETTINGS),
        ("network_args", "network", NETWORK_ARGUMENTS),
    ):
        renamed = table.get(str(values.get(owner)))
        if renamed and isinstance(values.get(field), dict):
            updated[field] = with_new_names(values[field], renamed)
    return updated

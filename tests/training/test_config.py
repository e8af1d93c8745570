"""Settings of a training run that contradict each other or are out of range are refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.training import TrainConfig


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "either `steps` or `minutes`"),
        ({"steps": 1, "minutes": 1.0}, "either `steps` or `minutes`"),
        ({"steps": 0}, "budget must be above zero"),
        ({"minutes": 0.0}, "budget must be above zero"),
        ({"steps": 1, "lr": 0.0}, "above zero"),
        ({"steps": 1, "ema": 1.0}, "ema < 1"),
        ({"steps": 1, "keep": 1.0}, "`keep` must be"),
        ({"steps": 1, "seed": 10**6}, "`seed` must be"),
        ({"steps": 1, "precision": "fp16"}, "`precision=bf16`"),
        ({"steps": 1, "precision": "int8"}, "`precision=bf16`, fp32 or auto, got int8"),
        ({"steps": 1, "optimizer": "sgd"}, "optimizer is one of"),
        ({"steps": 1, "batch": "8"}, "batch must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        TrainConfig(**settings)


def test_json_is_read_as_it_was_written() -> None:
    config = TrainConfig(method="rd", minutes=3.5, teachers=("a.onnx", "b"), method_args={"recharge": False})
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("text", ["", "[]", "3", '{"steps": 1, "minutes": 2}', '{"other": 1}', '{"steps": "x"}'])
def test_a_damaged_file_is_a_model_error(text: str) -> None:
    with pytest.raises(ModelError):
        TrainConfig.from_json(text)

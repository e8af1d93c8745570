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
        ({"steps": 0}, "`steps` must be a whole number from 1 to"),
        ({"minutes": 0.0}, "`minutes` must be a number above zero and at most 1e"),
        ({"steps": 1, "lr": 0.0}, "`lr` must be a number above zero"),
        ({"steps": 1, "ema": 1.0}, "`ema` must be a number of at least zero and less than 1, got 1.0"),
        ({"steps": 1, "keep": 1.0}, "`keep` must be"),
        ({"steps": 1, "seed": 10**6}, "`seed` must be"),
        ({"steps": 1, "precision": "fp16"}, "`precision=fp16` loses small gradients"),
        ({"steps": 1, "precision": "int8"}, "`precision` must be one of auto, fp32, bf16, got 'int8'"),
        ({"steps": 1, "optimizer": "sgd"}, "`optimizer` must be one of adam, adamw, muon, got 'sgd'"),
        ({"steps": 1, "batch": "8"}, "`batch` must be"),
        ({"steps": 1, "batch": 0}, "`batch` must be a whole number from 1 to 4096, got 0"),
        ({"steps": 1, "save_every": 0}, "`save_every` must be a whole number from 1 to"),
        ({"steps": 1, "validation_every": -1}, "`validation_every` must be a whole number from 0 to"),
        ({"steps": 1, "orientations": "none"}, "`orientations` must be one of all, flips, got 'none'"),
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

"""Files of the last version (0.1, commit f384199) are read, and give the results that they gave then.

`tests/data/` was written by that commit: tiny weights, a graph exported from them, and the results for `PHOTO` as PNG.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

import nsp_cli
from nsp_cli.cli.commands.train_config import resolve_config
from nsp_cli.errors import UsageError
from nsp_cli.image import read
from nsp_cli.methods import build_method
from nsp_cli.model.checkpoint import load_model
from nsp_cli.model.renamed import with_new_names
from nsp_cli.model.spec import ModelSpec
from nsp_cli.training import TrainConfig

DATA = Path(__file__).parents[1] / "data"
Y, X = np.mgrid[:24, :32]
PHOTO = np.stack([(37 * Y + 11 * X) % 97 + 60, (23 * Y + 5 * X * X) % 83 + 80, (7 * X * Y) % 71 + 90], 2).astype(
    np.uint8
)


def difference(model: Path, expected: str) -> int:
    """The largest difference, in levels of 255, from the result that was stored."""
    backend = nsp_cli.load_backend(model, device="cpu", precision="fp32")
    result = nsp_cli.denoise(PHOTO, backend=backend)
    assert np.abs(result.astype(int) - PHOTO).mean() > 5
    return int(np.abs(result.astype(int) - read(DATA / expected).pixels).max())


@pytest.mark.parametrize(
    ("name", "method_args", "network_args"),
    [
        (
            "simulated",
            {
                "own_prob": 0.6,
                "neutral_isp_prob": 0.1,
                "low_light_prob": 0.2,
                "synthetic_scene_prob": 0.3,
                "ensemble": 2,
            },
            {"widths": [4, 4], "depths": [1, 1], "noise_level": True},
        ),
        ("apr", {"train_shift": 5, "test_shift": 1}, {"width": 4, "levels": 1, "blind_spot_size": 5}),
    ],
)
def test_old_weights_give_the_result_they_gave(
    name: str, method_args: dict[str, float], network_args: dict[str, object]
) -> None:
    path = DATA / f"{name}-0.1.safetensors"
    assert difference(path, f"{name}-0.1.png") <= 1
    spec = load_model(path)[1]
    assert (spec.method_args, spec.network_args) == (method_args, network_args)


def test_an_old_graph_gives_the_result_it_gave(tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(lzma.decompress((DATA / "simulated-0.1.onnx.xz").read_bytes()))
    assert difference(tmp_path / "old.onnx", "simulated-0.1.png") <= 1


def test_old_settings_of_a_call_have_their_effect() -> None:
    path = DATA / "apr-0.1.safetensors"
    old, new = (
        nsp_cli.denoise(PHOTO, backend=nsp_cli.load_backend(path, device="cpu", settings={name: 3}))
        for name in ("blind", "test_shift")
    )
    assert np.array_equal(old, new)
    assert not np.array_equal(new, nsp_cli.denoise(PHOTO, backend=nsp_cli.load_backend(path, device="cpu")))


def test_an_old_run_has_the_settings_it_had() -> None:
    config = TrainConfig(method="simulated", method_args={"ensemble": 8}, steps=1)
    text = config.to_json().replace("ensemble", "turns")
    assert json.loads(text)["method_args"] == {"turns": 8}
    assert TrainConfig.from_json(text) == config


def test_an_old_name_of_set_has_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    config, _ = resolve_config("simulated", start="scratch", arguments={"nights": 0.25})
    assert config.method_args == {"low_light_prob": 0.25}
    assert "--set nights is now --set low_light_prob" in " ".join(capsys.readouterr().err.split())


def test_inputs_of_canonical_pairs_are_its_grids(capsys: pytest.CaptureFixture[str]) -> None:
    """NSP's own pairs, and canonical ones with one input, keep the setting."""
    for values, updated in (
        ({"strategy": "canonical", "inputs": 2}, {"strategy": "canonical", "canonical_grids": 2}),
        ({"strategy": "canonical", "inputs": 2, "canonical_grids": 3}, {"strategy": "canonical", "canonical_grids": 3}),
        ({"strategy": "canonical", "inputs": 1}, {"strategy": "canonical", "inputs": 1}),
        ({"strategy": "consecutive", "inputs": 2}, {"strategy": "consecutive", "inputs": 2}),
        ({"inputs": 2}, {"inputs": 2}),
    ):
        stored = ModelSpec("dbsn", {}, "nsp", values).to_json()
        assert ModelSpec.from_json(stored).method_args == updated
        run = TrainConfig(method_args=values, steps=1).to_json()
        assert TrainConfig.from_json(run).method_args == updated
    config, _ = resolve_config("nsp", start="scratch", arguments={"inputs": 2})
    assert (config.method_args["canonical_grids"], "inputs" in config.method_args) == (2, False)
    assert "--inputs is now --set canonical_grids" in " ".join(capsys.readouterr().err.split())
    config, _ = resolve_config("nsp", start="scratch", arguments={"strategy": "random", "inputs": 2})
    assert (config.method_args["inputs"], "canonical_grids" in config.method_args) == (2, False)
    assert not capsys.readouterr().err
    with pytest.raises(UsageError, match=r"use `method_args\.canonical_grids=2`, not `inputs`"):
        build_method("nsp", {"strategy": "canonical", "inputs": 2})


def test_the_new_name_takes_precedence() -> None:
    assert with_new_names({"a": 1, "b": 2, "c": 3}, {"a": "b"}) == {"b": 2, "c": 3}

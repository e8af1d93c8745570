"""Damaged and hostile model files are refused at once, before anything of the size that they claim is built."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nsp_cli.api import load_backend
from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods import METHODS
from nsp_cli.model.checkpoint import SPEC_KEY, save_model
from nsp_cli.model.spec import ModelSpec, PipelineSpec
from nsp_cli.networks import NETWORKS, build_network
from nsp_cli.simulation.camera import Camera
from nsp_cli.system.arguments import check_arguments, hint_of
from tests.conftest import TINY

BASE: dict[str, Any] = json.loads(ModelSpec("dbsn", TINY, "nsp", {"strategy": "canonical"}).to_json())
NETWORK, METHOD = "network_args", "method_args"
NESTED = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "network": [None, 3, [], {}, "unknown"],
    "method": [None, 3, [], {}, "unknown", "apr", "sdap"],
    NETWORK: [None, 3, [], "wide", {"foo": 1}, {"channels": 1}],
    METHOD: [None, 3, [], "wide", {"foo": 1}],
    "channels": [None, 0, -1, 1, 1.5, 10**9, "3", True],
    "training": [None, 3, []],
    "halo": [-1, 1.5, 10**9, "8", float("nan")],
    "format": [99, "1", None, 1.5],
}
ARGUMENTS = {
    "width": [0, -1, 1.5, 10**7, "8", None, True, [8], 9, 1000],
    "depth": [0, -1, 1.5, 10**7, "1", 2],
    "scale": [0, -1, 1.5, 10**7, 1],
    "residual": [1, "yes", None],
    "variant": [1, "unknown", None],
}
SETTINGS = {
    "scale": [0, -1, 1.5, 10**7, 3],
    "stride": [0, -1, 1.5, 10**7, "5"],
    "strategy": [3, "unknown", None, []],
    "canonical_strides": [3, [], [0], [1.5], [10**7], ["a"], [2] * 99],
    "phase": [-1, 4, 1.5, "0"],
    "inputs": [-1, 10**7, 1.5],
}


def specs() -> dict[str, str]:
    cases = {f"{name}={value!r}": {**BASE, name: value} for name, values in HOSTILE.items() for value in values}
    for part, changes in ((NETWORK, ARGUMENTS), (METHOD, SETTINGS)):
        for name, values in changes.items():
            cases |= {f"{part} {name}={v!r}": {**BASE, part: {**BASE[part], name: v}} for v in values}
    cases |= {f"no {name}": {k: v for k, v in BASE.items() if k != name} for name in ("network", NETWORK, METHOD)}
    texts = {"nested": NESTED, "nested objects": '{"a":' * 100_000, "a list": "[]", "text": "hello", "nothing": ""}
    return {key: json.dumps(value) for key, value in cases.items()} | texts


def test_every_hostile_header_is_refused_in_a_sentence(weights: Callable[..., Path], tmp_path: Path) -> None:
    tensors = load_file(weights())
    started = time.process_time()
    for case, text in specs().items():
        save_file(tensors, tmp_path / "m.safetensors", {SPEC_KEY: text})
        with pytest.raises((ModelError, UsageError)) as error:
            load_backend(tmp_path / "m.safetensors")
        assert len(str(error.value)) < 600, case
    assert time.process_time() - started < 10  # a network of ten million layers took 40 s by itself


def test_the_shapes_are_compared_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Callable[..., Path]
) -> None:
    devices: list[str] = []

    def build(name: str, arguments: dict[str, Any]) -> torch.nn.Module:
        network = build_network(name, arguments)
        devices.append(next(network.parameters()).device.type)
        return network

    monkeypatch.setattr("nsp_cli.model.checkpoint.build_network", build)
    spec = json.dumps({**BASE, NETWORK: {**TINY, "width": 1024, "depth": 64}})
    save_file(load_file(weights()), tmp_path / "m.safetensors", {SPEC_KEY: spec})
    with pytest.raises(ModelError, match="do not fit"):
        load_backend(tmp_path / "m.safetensors")
    assert devices == ["meta"]


def test_a_method_whose_network_has_no_hole_is_refused(tmp_path: Path) -> None:
    arguments = {"width": 4, "levels": 2}
    save_model(build_network("unet", arguments), ModelSpec("unet", arguments, "apr", {}), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="blind spot to choose"):
        load_backend(tmp_path / "m.safetensors")


@pytest.mark.parametrize("owner", [*NETWORKS.values(), *METHODS.values(), Camera])
def test_every_number_that_a_file_may_hold_is_bounded(owner: Callable[..., Any]) -> None:
    own_checks = {"test_shift", "ensemble", "phase"}
    names = [name for name in hints(owner) if name not in own_checks]
    for name in names:
        for value in (10**7, -(10**7), 1e200, float("nan"), [10**7], [1] * 1000):
            with pytest.raises(ValueError, match=name):
                check_arguments(owner, {name: value})


def hints(owner: Callable[..., Any]) -> list[str]:
    """Names of the parameters that are numbers, or lists of numbers."""
    names = check_names(owner)
    return [name for name in names if any(word in str(hint_of(owner, name)) for word in ("int", "float"))]


def check_names(owner: Callable[..., Any]) -> list[str]:
    with pytest.raises(ValueError, match="only") as error:
        check_arguments(owner, {"no such name": 1})
    return str(error.value).partition("only ")[2].split(", ")


def test_the_description_of_a_graph_is_checked_too() -> None:
    good = json.loads(PipelineSpec("denoise", 1, 2, 8, 100).to_json())
    for name, values in {"scale": [0, 1.5, 99], "multiple": [0, 10**9], "halo": [-1], "channels": [1, "3"]}.items():
        for value in values:
            with pytest.raises(ModelError, match=name):
                PipelineSpec.from_json(json.dumps({**good, name: value}))
    with pytest.raises(ModelError, match="cannot be read"):
        PipelineSpec.from_json(NESTED)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_not_floats_are_refused(
    dtype: torch.dtype, tmp_path: Path, weights: Callable[..., Path]
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(weights()).items()}
    save_file(tensors, tmp_path / "m.safetensors", {SPEC_KEY: json.dumps(BASE)})
    with pytest.raises(ModelError, match="must be F16, BF16, F32, F64"):
        load_backend(tmp_path / "m.safetensors")

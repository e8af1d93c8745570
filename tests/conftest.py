"""Small pictures and small weights that the tests make themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nsp_cli.checkpoint import save_model
from nsp_cli.image import Frame, write
from nsp_cli.networks import build_network
from nsp_cli.sample import sample_picture
from nsp_cli.simulation import Camera, simulate
from nsp_cli.spec import ModelSpec

TINY = {"width": 8, "depth": 1, "residual": True, "scale": 2}


def tiny_network(seed: int = 0, **arguments: object) -> nn.Module:
    """A small DBSN whose every weight is random, the last ones too, so that nothing is zero by accident."""
    torch.manual_seed(seed)
    network = build_network("dbsn", {**TINY, **arguments})
    for parameter in network.parameters():
        if not parameter.abs().sum():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test keeps for later runs does not end up in the home of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSP_HOME", str(tmp_path_factory.mktemp("nsp-home")))
        yield


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """Write tiny weights and give their path; keywords are NSP's settings."""

    def make(name: str = "tiny.safetensors", **method_args: object) -> Path:
        spec = ModelSpec("dbsn", TINY, "nsp", {"strategy": "canonical", **method_args})
        save_model(tiny_network(), spec, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def noisy_photos(tmp_path: Path) -> Path:
    """A folder of five simulated noisy photos of 96×112."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(5):
        rng = np.random.default_rng(i)
        noisy, _ = simulate(sample_picture(96, 112, rng), Camera(), rng)
        write(Frame(np.rint(noisy * 255).astype(np.uint8)), folder / f"{i}.png")
    return folder

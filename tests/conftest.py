"""Small pictures and small weights that the tests make themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported, and for the processes that tests start: tiny work on many threads is slower than on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from torch import nn

from nsp_cli import api
from nsp_cli.image import Frame, write
from nsp_cli.model.checkpoint import save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture

torch.set_num_threads(1)

TINY = {"width": 8, "depth": 1, "residual": True, "scale": 2}


def tiny_network(seed: int = 0, **arguments: object) -> nn.Module:
    """A small DBSN whose every weight is random, the last ones too, so that nothing is zero by accident."""
    torch.manual_seed(seed)
    return fill_zeros(build_network("dbsn", {**TINY, **arguments})).eval()


def fill_zeros(network: nn.Module) -> nn.Module:
    """Make the weights that are all zero random."""
    for parameter in network.parameters():
        if not parameter.abs().sum():
            nn.init.normal_(parameter, std=0.1)
    return network


def save_tiny(target: Path, **method_args: object) -> Path:
    """Write tiny weights and give their path; keywords are NSP's settings."""
    save_model(tiny_network(), ModelSpec("dbsn", TINY, "nsp", {"strategy": "canonical", **method_args}), target)
    return target


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test keeps for later runs does not end up in the home of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSP_HOME", str(tmp_path_factory.mktemp("nsp-home")))
        patch.setenv("NSP_NO_FIDELITY_CHECK", "1")  # random weights shift colours; test_fidelity.py has the check
        yield


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """Write tiny weights and give their path; keywords are NSP's settings."""
    return lambda name="tiny.safetensors", **method_args: save_tiny(tmp_path / name, **method_args)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model.onnx`, which denoises as `weights()` does; an export takes seconds, so tests share it and only read."""
    folder = tmp_path_factory.mktemp("exported")
    api.export(save_tiny(folder / "tiny.safetensors"), folder / "model.onnx")
    return folder / "model.onnx"


def _painted(folder: Path, height: int, width: int) -> Path:
    for i in range(5):
        rng = np.random.default_rng(i)
        noisy, _ = simulate(sample_picture(height, width, rng), Camera(), rng)
        write(Frame(np.rint(noisy * 255).astype(np.uint8)), folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def _painted_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _painted(tmp_path_factory.mktemp("painted"), 96, 112)


@pytest.fixture
def noisy_photos(tmp_path: Path, _painted_photos: Path) -> Path:
    """A folder of five simulated noisy photos of 96×112, of which a test may do what it likes."""
    return Path(shutil.copytree(_painted_photos, tmp_path / "photos"))


@pytest.fixture
def large_noisy_photos(tmp_path: Path) -> Path:
    """The same at 160×192, which is enough to see whose camera made the noise."""
    folder = tmp_path / "large"
    folder.mkdir()
    return _painted(folder, 160, 192)

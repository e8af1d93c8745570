"""`examples/thin_weights.py`: which channels stay, and a run that is stopped."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nsp_cli.methods.simulated import Simulated
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.simulation.scene import sample_picture

SCRIPT = Path(__file__).parents[1] / "examples" / "thin_weights.py"
ARGUMENTS = {"widths": [8, 8], "depths": [1, 1], "noise_level": True}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("thin_weights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network_of(**arguments: object) -> nn.Module:
    torch.manual_seed(0)
    network = build_network("resunet", {**ARGUMENTS, **arguments})
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_the_channels_that_the_output_depends_on_are_kept(script: ModuleType) -> None:
    torch.manual_seed(0)
    regression = script.Regression(5 * 9, 2)
    weights = torch.zeros(5 * 9, 2)
    weights[9:18], weights[27:36] = torch.randn(9, 2), torch.randn(9, 2)
    features = torch.randn(2000, 5 * 9)
    regression.add(features, features @ weights + 3)
    kept = regression.choose(5, 2)
    assert kept == [1, 3]
    solved = regression.solve(kept)[0].float()
    assert torch.allclose(solved[:-1], torch.cat([weights[9:18], weights[27:36]]), atol=1e-4)
    assert torch.allclose(solved[-1], torch.full((2,), 3.0), atol=1e-3)


def test_channels_that_others_repeat_can_go_without_a_change(script: ModuleType) -> None:
    """In every block half of the hidden channels are copies; the thin network's output is the same."""
    wide = network_of()
    names = script.blocks_of(wide, torch.rand(1, 4, 16, 16))
    assert names == ["down.0.0", "bottom.0", "up.0.0"]
    with torch.no_grad():
        for name in names:
            first = wide.get_submodule(name).get_submodule("body.0")
            first.weight[4:] = first.weight[:4]  # pyright: ignore
            first.bias[4:] = first.bias[:4]  # pyright: ignore
    thin = network_of(hidden=[4, 4])
    batches = [torch.rand(4, 4, 32, 32) for _ in range(4)]
    assert list(script.thin(wide, thin, batches)) == names
    photo = torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        expected = wide(photo)
        assert float((expected - photo[:, :3]).std()) > 0.05
        assert torch.allclose(thin(photo), expected, atol=2e-3)


def test_ctrl_c_saves_the_state_at_the_end_of_the_step(script: ModuleType, tmp_path: Path) -> None:
    teacher, network = network_of(), network_of()

    class Interrupted(script.Distillation):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            if self.step == 1:
                signal.raise_signal(signal.SIGINT)
            return super().loss(batch)

    def build(kind: type) -> Any:
        optimizer = torch.optim.Adam(network.parameters())
        examples = [torch.rand(2, 4, 16, 16) for _ in range(4)]
        return kind(teacher, network, Simulated(), optimizer, examples, tmp_path / "a.state", steps=4, rate=1e-3)

    with pytest.raises(SystemExit) as stopped:
        build(Interrupted).train()
    assert stopped.value.code == 130
    resumed = build(script.Distillation)
    assert resumed.resume()
    assert resumed.step == 2
    resumed.train()
    assert resumed.step == 4


@pytest.mark.slow
def test_a_stopped_run_continues_and_equals_an_unbroken_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    picture = Image.fromarray(np.uint8(255 * sample_picture(300, 300, np.random.default_rng(0))))
    picture.save(tmp_path / "photos" / "a.png")
    wide = tmp_path / "wide.safetensors"
    save_model(network_of(), ModelSpec("resunet", ARGUMENTS, "simulated", {}), wide)
    for out in ("once", "twice"):
        command = [sys.executable, SCRIPT, wide, tmp_path / "photos", tmp_path / out]
        command += ["--hidden", "4,4", "--steps", "4", "--batch", "2", "--patch", "96"]
        for more in [["--stop-at", "2"], []] if out == "twice" else [[]]:
            done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        assert ("continued at step 2" in done.stdout) == (out == "twice")
    one, two = (load_model(tmp_path / out / "thin.safetensors") for out in ("once", "twice"))
    assert one[1].network_args["hidden"] == [4, 4]
    for name, weight in one[0].state_dict().items():
        assert torch.equal(weight, two[0].state_dict()[name]), name

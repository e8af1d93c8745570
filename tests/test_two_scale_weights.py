"""`examples/two_scale_weights.py`: a pool of examples, and a run that is stopped."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.simulation.scene import sample_picture
from tests.test_thin_weights import ARGUMENTS, network_of

SHAPE = ["--batches", "3", "--batch", "2", "--patch", "96", "--alone", "1"]
SCRIPT = Path(__file__).parents[1] / "examples" / "two_scale_weights.py"


@pytest.mark.slow
def test_a_stopped_run_continues_and_equals_an_unbroken_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    picture = Image.fromarray(np.uint8(255 * sample_picture(300, 300, np.random.default_rng(0))))
    picture.save(tmp_path / "photos" / "a.png")
    teacher = tmp_path / "teacher.safetensors"
    save_model(
        network_of(), ModelSpec("resunet", ARGUMENTS, "simulated", {"ensemble": 2, "coarse_chroma": True}), teacher
    )
    for out in ("once", "twice"):
        command = [sys.executable, SCRIPT, teacher, tmp_path / "photos", tmp_path / out]
        command += [*SHAPE, "--steps", "4"]
        printed = ""
        for more in [["--stop-at", "2"], []] if out == "twice" else [[]]:
            done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
        assert ("continued at step 2" in printed) == (out == "twice")
        assert [np.load(file).shape for file in (tmp_path / out / "pool").iterdir()] == [(2, 10, 48, 48)] * 3
    one, two = (load_model(tmp_path / out / "two-scale.safetensors") for out in ("once", "twice"))
    assert (one[1].network, one[1].network_args, one[1].method_args) == ("twoscale", ARGUMENTS, {})
    for name, weight in one[0].state_dict().items():
        assert torch.equal(weight, two[0].state_dict()[name]), name
    changed = dict(one[0].named_parameters())["fine.last.weight"]
    assert float(changed.detach().abs().max()) > 0
    begun = [SCRIPT, teacher, tmp_path / "photos", tmp_path / "third", *SHAPE, "--steps", "1", "--lr", "0"]
    subprocess.run([sys.executable, *begun, "--from", tmp_path / "once" / "two-scale.safetensors"], check=True)
    third, _ = load_model(tmp_path / "third" / "two-scale.safetensors")
    assert all(torch.equal(weight, third.state_dict()[name]) for name, weight in one[0].state_dict().items())

"""`examples/two_scale_weights.py`: a pool of examples, and a run that is stopped."""

import importlib
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


EXAMPLES = str(SCRIPT.parent)


def test_sharp_textures_have_the_level_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    sharp_example = importlib.import_module("sharp_textures").sharp_example
    crop = sample_picture(192, 192, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    made = [sharp_example(crop, rng) for _ in range(40)]
    assert all(example.shape == (96, 96, 7) and example.dtype == np.float32 for example in made)
    assert all(example.min() >= 0 and example.max() <= 1 for example in made)
    clean = [example for example in made if np.array_equal(example[..., :3], example[..., 3:6])]
    assert 20 < len(clean) < 35
    assert max(255 * example[0, 0, 6] for example in clean) > 8  # no noise at all, but texture that is measured as some
    again = sharp_example(crop, np.random.default_rng(1))
    assert np.array_equal(again, made[0])


def test_a_pool_leaves_out_clean_examples_that_the_teacher_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    make_pool = importlib.import_module("result_pool").make_pool
    rng = torch.Generator().manual_seed(0)
    flat, textured = torch.full((3, 64, 64), 0.5), torch.rand(3, 64, 64, generator=rng)
    clean = torch.stack([flat, textured, textured])
    noisy = torch.stack([flat, textured, textured.flip(1)])
    batch = torch.cat([noisy, clean, torch.full((3, 1, 64, 64), 0.1)], 1)

    class Blur(torch.nn.Module):
        scale, size_multiple, receptive_field_radius, activation_floats_per_pixel = 1, 1, 2, 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(x[:, :3], 5, 1, 2, count_include_pad=False)

    files = make_pool(tmp_path, Blur(), [[batch, batch[1:2].clone()]], 2)
    assert [file.name for file in files] == ["00000.npy"]  # the other one is empty
    kept = np.load(files[0])
    assert np.array_equal(kept[:, :3], noisy[[0, 2]].half().numpy())


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

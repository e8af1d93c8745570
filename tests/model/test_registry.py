"""The weights that ship are there, are what the manifest says, and denoise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nsp_cli
from nsp_cli.errors import ModelError
from nsp_cli.evaluation.metrics import psnr
from nsp_cli.image import from_unit
from nsp_cli.model import registry
from nsp_cli.model.spec import Task
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture


def test_the_manifest_tells_the_truth() -> None:
    infos = registry.shipped()
    assert sorted(task for info in infos for task in info.default_for) == sorted(Task)
    for info in infos:
        assert registry.sha256(info.path) == info.sha256
        assert info.method
        assert info.photos
        assert info.licence
        assert info.quality
        network, spec = nsp_cli.load_model(info.name)
        size = sum(p.numel() for p in network.parameters())
        assert f"{spec.network}, {size / 1e6:.2f} M" == info.network
        assert info.path.stat().st_size < 2.2 * size + 10_000  # float16


def test_the_default_model_makes_a_noisy_photo_better() -> None:
    rng = np.random.default_rng(0)
    camera = Camera(shot_gain=2e-2, read_noise=2e-2)
    noisy, clean = (from_unit(p, np.uint8) for p in simulate(sample_picture(160, 200, rng), camera, rng))
    denoised = nsp_cli.denoise(noisy)
    assert psnr(denoised, clean) > psnr(noisy, clean) + 2
    # No colour shift: strong noise is cut off at black and moves the noisy photo's own mean, so the clean one decides.
    before, after = (np.abs(p.mean((0, 1)) - clean.mean((0, 1))) for p in (noisy, denoised))
    assert (after < before + 0.25).all()


def test_a_name_a_path_and_nothing_are_found(weights: Callable[..., Path], tmp_path: Path) -> None:
    default = registry.resolve()
    assert registry.resolve(registry.shipped()[0].name) == default
    assert registry.resolve(weights()) == tmp_path / "tiny.safetensors"
    with pytest.raises(ModelError, match=r"there are .*, or give the path"):
        registry.resolve("nobody")


def test_a_name_takes_precedence_over_a_file_in_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fast").write_text("no model")
    assert registry.resolve("fast").name == "fast.safetensors"
    assert registry.resolve("./fast") == registry.resolve(Path("fast")) == Path("fast")
    for missing in ("./best", Path("best"), "a/b", "best.onnx", "\0", "/x" * 3000, "x" * 300):
        with pytest.raises(ModelError, match="There is no model"):
            registry.resolve(missing)


def test_a_folder_without_weights_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_PACKAGE", tmp_path / "package")
    with pytest.raises(ModelError, match="install nsp again"):
        registry.shipped()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "manifest.json").write_text('{"models": [{"colour": 1}]}')
    with pytest.raises(ModelError, match="cannot be read"):
        registry.shipped()

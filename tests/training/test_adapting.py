"""Noise analysis of a folder: denoised references to train on, and cameras with the same noise."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nsp_cli.errors import NoInputError
from nsp_cli.image import Frame, read, write
from nsp_cli.model import registry
from nsp_cli.model.spec import PipelineSpec
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from nsp_cli.training import TrainConfig, adapt, camera_fit
from nsp_cli.training.adapting import analyze_noise, references_in

SCENE = sample_picture(160, 192, np.random.default_rng(3))


class Blur:
    """A denoiser that is none: the mean of a few neighbours."""

    spec = PipelineSpec("denoise", 1, 1, 2, 4)

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.mean([np.roll(tile, shift, 3) for shift in (-1, 0, 1)], 0, dtype=np.float32)

    def free_bytes(self) -> int:
        return 10**9


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_fit, "_DRAWS", (4, 4))


def test_noise_analysis_writes_clean_photos_and_is_repeatable(large_noisy_photos: Path, tmp_path: Path) -> None:
    photos = sorted(large_noisy_photos.iterdir())
    shares: list[float] = []
    first = analyze_noise(photos[:2], Blur(), tmp_path / "a", smallest=32, report=shares.append)
    again = analyze_noise(photos[:2], Blur(), tmp_path / "b", smallest=32)
    assert first.cameras == again.cameras
    assert first.cameras
    rounds = [0.5, 0.5625, 0.625, 0.6875, 0.75, 0.8125, 0.875, 0.9375]  # two of four draws
    assert shares == [0.25, 0.5, *rounds, 1.0]  # two photos before them
    for path, other in zip(first.clean, again.clean, strict=True):
        assert read(path).size == (80, 96)  # half of 160×192
        assert path.read_bytes() == other.read_bytes()
    assert analyze_noise(photos[:1], Blur(), tmp_path / "c", smallest=100).clean[0].exists()
    assert read(tmp_path / "c" / "0000.png").size == (160, 192)  # too small to be reduced


def test_references_of_an_analysis_that_was_stopped_are_removed(large_noisy_photos: Path, tmp_path: Path) -> None:
    photos = sorted(large_noisy_photos.iterdir())
    analyze_noise(photos[:3], Blur(), tmp_path / "a", smallest=32)
    analyze_noise(photos[:2], Blur(), tmp_path / "a", smallest=32)
    assert len(references_in(tmp_path / "a")) == 2


def test_only_a_run_with_cameras_of_its_own_has_their_shares(
    large_noisy_photos: Path, noisy_photos: Path, tmp_path: Path
) -> None:
    settings = TrainConfig(method="simulated", steps=1, patch=32)
    for photos, known in ((large_noisy_photos, True), (noisy_photos, False)):
        some = sorted(photos.iterdir())[:1]
        adapted, _ = adapt(settings, some, registry.resolve("fast"), tmp_path / str(known), device="cpu")
        assert bool(adapted.method_args["cameras"]) == known
        assert {"own_prob", "neutral_isp_prob", "low_light_prob", "synthetic_scene_prob"}.issubset(
            adapted.method_args
        ) == known


def test_what_cannot_be_read_is_passed_over(noisy_photos: Path, tmp_path: Path) -> None:
    photos = sorted(noisy_photos.iterdir())[:2]
    photos[0].write_bytes(b"no picture")
    assert len(analyze_noise(photos, Blur(), tmp_path / "a", smallest=32).clean) == 1
    photos[1].write_bytes(b"")
    with pytest.raises(NoInputError, match="None of the 2 photos"):
        analyze_noise(photos, Blur(), tmp_path / "b", smallest=32)


def test_grey_photos_have_cameras_too(tmp_path: Path) -> None:
    noisy, _ = simulate(SCENE, Camera(), np.random.default_rng(0))
    write(Frame(np.rint(noisy[..., 1:2] * 255).astype(np.uint8)), tmp_path / "grey.png")
    found = analyze_noise([tmp_path / "grey.png"], Blur(), tmp_path / "a", smallest=32)
    assert len(found.clean) == 1
    assert len(found.cameras) == 4

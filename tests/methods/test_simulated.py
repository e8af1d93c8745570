"""Examples from clean photos: what the network sees, what it should answer, and whose cameras they are."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.image.luma import WEIGHTS
from nsp_cli.methods import simulated
from nsp_cli.methods.simulated import Example, Simulated
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from nsp_cli.ops.noise_level import append_noise_level, estimate_noise_level
from nsp_cli.simulation.camera import Camera
from nsp_cli.simulation.scene import sample_picture
from tests.methods.cases import TINY_UNET, Case, Trial

CASES = [
    Case(
        method="simulated",
        method_args={},
        network="resunet",
        network_args={"widths": (8, 8), "depths": (1, 1)},
        size=1_044_700,
    ),
    Case(
        method="simulated",
        method_args={"scale": 2, "ensemble": 8},
        network="resunet",
        network_args={"widths": (8, 8), "depths": (1, 1), "noise_level": True},
        size=1_062_016,
        size_args={"scale": 2, "noise_level": True},
        patch=96,
    ),
    Case(
        method="simulated",
        method_args={"ensemble": 2, "coarse_chroma": True},
        network="resunet",
        network_args={"widths": (8, 8), "depths": (1, 1), "noise_level": True},
        size=1_046_428,
        size_args={"noise_level": True},
    ),
    Case(
        method="simulated",
        method_args={},
        network="twoscale",
        network_args={
            "noise_level": True,
            "widths": (8, 8),
            "depths": (1, 1),
            "fine_width": 8,
            "fine_hidden": 4,
            "fine_depth": 1,
        },
        size=1_131_016,
        size_args={"noise_level": True},
    ),
    Case(
        method="simulated",
        method_args={},
        network="unet",
        network_args={"width": 6, "levels": 2},
        size=1_003_011,
    ),
]

TRIALS = [
    Trial("simulated", "unet", TINY_UNET, steps=120),
]

CROP = sample_picture(128, 128, np.random.default_rng(0))
LOUD = Camera(shot_gain=2e-2, read_noise=2e-2)
SILENT = replace(LOUD, shot_gain=0.0, read_noise=0.0)


def shots(method: Simulated, count: int = 40) -> list[np.ndarray]:
    return [method.make_example(CROP, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize(("scale", "planes", "side"), [(1, 7, 64), (2, 16, 32)])
def test_an_example_is_the_noisy_photo_and_its_clean_cells(scale: int, planes: int, side: int) -> None:
    for shot in shots(Simulated(scale=scale)):
        assert shot.shape == (side, side, planes)
        assert shot.dtype == np.float32
        assert 0 <= shot.min() <= shot.max() <= 1


def test_some_examples_are_left_as_they_are() -> None:
    same = [np.array_equal(shot[..., :3], shot[..., 3:-1]) for shot in shots(Simulated(), 120)]
    assert 0.01 < np.mean(same) < 0.15


def test_the_target_of_an_enlargement_is_the_large_picture() -> None:
    """Without noise, the mean over each cell is what the small photo shows, but for the blur of its demosaicing."""
    silent = Camera(shot_gain=0, read_noise=0, demosaic="none")
    for shot in shots(Simulated(scale=2, cameras=(silent,), own_prob=1.0, synthetic_scene_prob=0.0), 10):
        large = F.pixel_shuffle(torch.from_numpy(shot[..., 3:-1]).permute(2, 0, 1)[None], 2)
        small = torch.from_numpy(shot[..., :3]).permute(2, 0, 1)[None]
        assert (F.avg_pool2d(large, 2) - small).abs().mean() < 0.01


def test_a_shot_begins_anywhere_in_the_mosaic() -> None:
    """Bilinear demosaicing leaves more noise where green was measured: which pixels these are must not be fixed."""
    bayer = Camera(shot_gain=0.0, read_noise=0.05)
    phases: set[int] = set()
    for shot in shots(Simulated(cameras=(bayer,), own_prob=1.0)):
        noise = (shot[..., :3] - shot[..., 3:-1])[..., 1]
        rows = np.arange(noise.shape[0])
        measured = [noise[(rows[:, None] + rows) % 2 == phase].std() for phase in (0, 1)]
        if max(measured) > 1.3 * min(measured):
            phases.add(int(np.argmax(measured)))
    assert phases == {0, 1}


def test_a_shot_begins_anywhere_in_jpegs_blocks() -> None:
    coarse = Camera(shot_gain=0.0, read_noise=0.0, demosaic="none", jpeg_quality=15)
    phases: set[int] = set()
    for shot in shots(Simulated(cameras=(coarse,), own_prob=1.0)):
        steps = np.abs(np.diff(shot[..., :3] - shot[..., 3:-1], axis=1)).mean((0, 2))[:56]
        phases.add(int(np.argmax(steps.reshape(-1, 8).mean(0))))
    assert phases == set(range(8))


def test_some_examples_are_painted() -> None:
    """In the colours of the photo, which here has one: what is not flat was painted."""
    silent = Camera(shot_gain=0, read_noise=0, demosaic="none")

    def shades(painted: float) -> list[float]:
        method = Simulated(cameras=(silent,), own_prob=1.0, synthetic_scene_prob=painted)
        wall = np.full_like(CROP, 0.5)
        return [float(np.ptp(method.make_example(wall, np.random.default_rng(seed))[..., 3:-1])) for seed in range(60)]

    assert max(shades(0.0)) < 1e-6
    assert 0.2 < np.mean(np.array(shades(0.5)) > 0.1) < 0.8
    assert min(shades(1.0)) > 0.1


def test_own_cameras_leave_the_picture_as_it_is() -> None:
    plain = Camera(shot_gain=0.0, read_noise=0.02, demosaic="none")
    strong = replace(plain, exposure=0.3, contrast=0.5, sharpening=1.0)
    one, other = (shots(Simulated(cameras=(camera,), own_prob=1.0), 10) for camera in (plain, strong))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a[..., 3:-1], b[..., 3:-1])
    assert max(np.abs(a[..., :3] - b[..., :3]).max() for a, b in zip(one, other, strict=True)) > 0.02


def test_plain_cameras_take_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "neutral_camera", lambda *_: LOUD)
    monkeypatch.setattr(simulated, "random_camera", lambda *_: SILENT)

    def noisy(plain: float, own: float = 0.0) -> float:
        method = Simulated(neutral_isp_prob=plain, cameras=(SILENT,), own_prob=own)
        return float(np.mean([np.abs(s[..., :3] - s[..., 3:-1]).mean() > 0.01 for s in shots(method, 60)]))

    assert noisy(0.0) == noisy(1.0, own=1.0) == 0.0
    assert 0.25 < noisy(0.5) < 0.75
    assert noisy(1.0) > 0.85  # some stay clean


@pytest.mark.parametrize("camera", [LOUD, asdict(LOUD)])
def test_own_cameras_take_their_share(camera: object) -> None:
    def noise(own: float) -> float:
        made = shots(Simulated(cameras=(camera,), own_prob=own, low_light_prob=0.0))  # type: ignore[arg-type]
        return float(np.median([np.abs(s[..., :3] - s[..., 3:-1]).mean() for s in made]))

    assert noise(1.0) > 2 * noise(0.0)


def test_nights_are_the_share_of_heavy_noise() -> None:
    def noise(nights: float) -> float:
        made = shots(Simulated(low_light_prob=nights, neutral_isp_prob=0.0))
        return float(np.median([np.abs(s[..., :3] - s[..., 3:-1]).mean() for s in made]))

    assert noise(1.0) > 2 * noise(0.0)


@pytest.mark.parametrize("name", ["own_prob", "neutral_isp_prob", "low_light_prob", "synthetic_scene_prob"])
def test_a_share_is_a_share(name: str) -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match=name):
            Simulated(**{name: wrong})  # type: ignore[arg-type]


def test_the_noise_level_is_nearly_true() -> None:
    """As wrong as an estimate is, and not wrong to one side; the same number at every pixel."""
    for scale in (1, 2):
        silent = replace(LOUD, shot_gain=0.0, demosaic="none")  # the same noise in every example
        levels = [shot[..., -1] for shot in shots(Simulated(scale=scale, cameras=(silent,), own_prob=1.0), 60)]
        assert all(level.min() == level.max() for level in levels)
        logarithms = np.log([level[0, 0] for level in levels])
        spread = np.subtract(*np.quantile(logarithms, [0.75, 0.25]))
        assert 0.2 < spread < 0.8
        truth = shots(Simulated(cameras=(silent,), own_prob=1.0), 60)
        noise = np.median([np.std((s[..., :3] - s[..., 3:6]) @ WEIGHTS) for s in truth])
        assert abs(np.median(logarithms) - np.log(noise)) < 0.2


def test_a_network_is_told_the_noise_level_that_the_example_has() -> None:
    class Listens(nn.Module):
        size_multiple, noise_level = 8, True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heard.append(x)
            return x[:, :3]

    heard: list[torch.Tensor] = []
    batch = torch.from_numpy(np.stack(shots(Simulated(), 3))).permute(0, 3, 1, 2)
    Simulated().loss(Listens(), batch, torch.Generator())
    assert torch.equal(heard[0], torch.cat([batch[:, :3], batch[:, -1:]], 1))


def test_a_pipeline_that_nobody_tells_measures() -> None:
    network = build_network("resunet", {"widths": (8, 8), "depths": (1, 1), "noise_level": True}).eval()
    nn.init.normal_(network.last.weight, std=0.1)  # pyright: ignore
    photo = torch.rand(2, 3, 21, 30)
    for turns in (1, 8):
        pipeline = Simulated(ensemble=turns).pipeline(network, Task.DENOISE)
        assert pipeline.spec.noise_level
        assert (pipeline.spec.channels, pipeline.spec.planes) == (3, 4)
        with torch.no_grad():
            alone, hears = pipeline(photo), pipeline(append_noise_level(photo, estimate_noise_level(photo)))
            assert torch.equal(alone, hears)
            assert not torch.allclose(alone, pipeline(append_noise_level(photo, 2 * estimate_noise_level(photo))))


def test_a_perfect_network_has_no_loss() -> None:
    class Answer(nn.Module):
        size_multiple = 8

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return target.to(x.device)

    batch = torch.from_numpy(np.stack(shots(Simulated(), 3))).permute(0, 3, 1, 2)
    target = batch[:, 3:-1]
    assert Simulated().loss(Answer(), batch, torch.Generator()) == 0


def test_the_loss_asks_for_even_surfaces() -> None:
    """Of errors that are as large, one that is spread over a wall as noise costs more than one that dims a texture."""
    rng = np.random.default_rng(0)
    texture = torch.from_numpy(rng.uniform(0.3, 0.7, (1, 3, 64, 64)).astype(np.float32))
    error = 0.1 * (texture - 0.5)

    def loss(target: torch.Tensor) -> float:
        class Answer(nn.Module):
            size_multiple = 8

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return target.to(x.device) + error

        batch = torch.cat([target, target, torch.zeros(1, 1, 64, 64)], 1)
        return float(Simulated().loss(Answer(), batch, torch.Generator()))

    wall = torch.full_like(texture, 0.5)
    assert loss(wall) > 1.2 * loss(texture)


def test_a_network_that_enlarges_denoises_by_the_mean_of_its_cells() -> None:
    method = Simulated(scale=2)
    network = build_network("resunet", {"widths": (8, 8), "depths": (1, 1), **method.network_args}).eval()
    nn.init.normal_(network.last.weight, std=0.1)  # pyright: ignore
    photo = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        large = method.pipeline(network, Task.DIRECT)(photo)
        assert large.shape == (1, 3, 42, 60)
        assert torch.allclose(method.pipeline(network, Task.DENOISE)(photo), F.avg_pool2d(large, 2), atol=1e-6)


def test_a_plain_denoiser_does_not_enlarge() -> None:
    method = Simulated()
    network = build_network("resunet", {"widths": (8, 8), "depths": (1, 1)})
    for task in (Task.DIRECT, Task.SHUFFLE):
        with pytest.raises(ModelError, match="has no"):
            method.pipeline(network, task)


def test_turns_are_the_mean_over_turned_photos() -> None:
    network = build_network("resunet", {"widths": (8, 8), "depths": (1, 1)}).eval()
    nn.init.normal_(network.last.weight, std=0.1)  # pyright: ignore
    photo = torch.rand(1, 3, 24, 16)

    def result(turns: int, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return Simulated(ensemble=turns).pipeline(network, Task.DENOISE)(x)

    flipped = result(1, photo.flip(-1)).flip(-1)
    assert torch.allclose(result(2, photo), (result(1, photo) + flipped) / 2, atol=1e-6)
    # The mean over all eight turns with the photo.
    turned = photo.transpose(-2, -1).flip(-1)
    assert torch.allclose(result(8, turned), result(8, photo).transpose(-2, -1).flip(-1), atol=1e-5)
    assert not torch.allclose(result(1, turned), result(1, photo).transpose(-2, -1).flip(-1), atol=1e-3)
    with pytest.raises(UsageError, match="ensemble must be"):
        Simulated(ensemble=9)


def test_an_example_of_a_real_pair_is_a_part_of_both_photos() -> None:
    rng = np.random.default_rng(1)
    clean = rng.random((96, 96, 3)).astype(np.float32)
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
    pair = np.concatenate([clean, noisy], 2)
    packed = torch.from_numpy(Simulated().make_example(pair, np.random.default_rng(2))).permute(2, 0, 1)[None]
    example = Example.unpack(packed, 1)
    assert example.noisy.shape == example.target.shape == (1, 3, 48, 48)
    places = [(y, x) for y in range(49) for x in range(49) if np.array_equal(packed[0, :3, 0, 0], noisy[y, x])]
    (y, x) = places[0]
    assert np.array_equal(example.noisy[0].permute(1, 2, 0), noisy[y : y + 48, x : x + 48])
    assert np.array_equal(example.target[0].permute(1, 2, 0), clean[y : y + 48, x : x + 48])
    assert 0.02 < float(example.level[0, 0, 0, 0]) < 0.2


def test_an_enlarging_method_takes_the_clean_photo_of_a_real_pair_alone() -> None:
    clean = np.random.default_rng(1).random((192, 192, 3)).astype(np.float32)
    method = Simulated(scale=2)
    pair = np.concatenate([clean, np.zeros_like(clean)], 2)
    made, expected = (method.make_example(crop, np.random.default_rng(3)) for crop in (pair, clean))
    assert np.array_equal(made, expected)

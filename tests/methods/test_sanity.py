"""What a falling loss cannot say: each method takes away noise whose answer is known, and none beats the answer.

Networks and runs are as small as they can be, a few seconds of one core each, on strong noise, and start from random
weights that give a picture far worse than the noisy one. What a method must gain, `MARGIN`, was fixed before it was
measured. Equal training for good is `benchmarks/methods.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import cos, pi

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from nsp_cli.methods import METHODS, REGISTERED, Method, build_method
from nsp_cli.model.spec import Task
from nsp_cli.networks import build_network
from nsp_cli.noise.correlation import noise_correlation
from nsp_cli.simulation.camera import Camera, Picture, simulate, white_noise
from nsp_cli.simulation.scene import sample_picture
from tests.methods.cases import Trial, tables_of

MARGIN = 2.0
"""dB over the noisy photo."""

_PAINTED, _SIDE, _PHOTOS = 320, 64, 6


TRIALS: dict[str, Trial] = {trial.name: trial for method in REGISTERED for trial in tables_of(method.name).TRIALS}
"""By name. The teacher of those that learn from one is "nsp canonical"."""

here = pytest.mark.parametrize("name", TRIALS)


def _white(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return white_noise(clean, 50 / 255, rng), clean


def _camera(clean: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    return simulate(clean, Camera(shot_gain=4e-2, read_noise=5e-2, saturation=1.4), rng)


NOISES: dict[str, Callable[[Picture, np.random.Generator], tuple[Picture, Picture]]] = {
    "white": _white,
    "camera": _camera,
}


@cache
def photos(noise: str, seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Noisy ones and their clean answers, (count, 3, 64, 64) each, all of other pictures."""
    pairs: list[tuple[Picture, Picture]] = []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        y, x = rng.integers(_PAINTED - _SIDE, size=2)
        clean = sample_picture(_PAINTED, _PAINTED, rng)[y : y + _SIDE, x : x + _SIDE]
        pairs.append(NOISES[noise](clean, rng))
    noisy, clean = (
        torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).contiguous() for side in zip(*pairs, strict=True)
    )
    return noisy, clean


def psnr(result: Tensor, clean: Tensor) -> float:
    return float(-10 * torch.log10((result.clamp(0, 1) - clean).square().mean()))


def examples(method: Method, noise: str, step: int) -> Tensor:
    """The batch of a step, as the trainer would give it."""
    noisy, clean = photos(noise, 0, _PHOTOS)
    crops = clean if method.needs_clean_photos else noisy
    if getattr(method, "needs_teachers", False):
        crops = torch.cat([noisy, *taught(noise)], 1)
    shots = [
        method.make_example(np.ascontiguousarray(crop), np.random.default_rng((step, i)))
        for i, crop in enumerate(crops.permute(0, 2, 3, 1).numpy())
    ]
    return torch.from_numpy(np.stack(shots)).permute(0, 3, 1, 2).contiguous()


@cache
def taught(noise: str) -> list[Tensor]:
    """What the teacher makes of the photos to learn from, in each of its views."""
    trial = TRIALS["nsp canonical"]
    network = learned("nsp canonical", noise)
    views = [{**trial.method_args, **view} for view in build_method(trial.method, trial.method_args).inference_variants]
    return [denoised(build_method(trial.method, view), network, photos(noise, 0, _PHOTOS)[0]) for view in views]


@cache
def learned(name: str, noise: str) -> nn.Module:
    """The network of a trial at the end."""
    method, network = TRIALS[name].build()

    def loss(step: int) -> Tensor:
        return method.loss(network, examples(method, noise, step), Generator().manual_seed(step))

    descend(network, TRIALS[name], loss)
    return network


@cache
def bound(noise: str) -> float:
    """PSNR of a network of like size and time whose targets were the clean photos."""
    torch.manual_seed(0)
    network = build_network("dbsn", {"width": 8, "depth": 1, "residual": True, "scale": 1})
    noisy, clean = photos(noise, 0, _PHOTOS)
    descend(network, Trial("", "", {}, steps=100), lambda _: (network(noisy) - clean).abs().mean())
    seen, answer = photos(noise, 1, 4)
    with torch.no_grad():
        return psnr(network(seen), answer)


def denoised(method: Method, network: nn.Module, noisy: Tensor) -> Tensor:
    with torch.no_grad():
        return method.pipeline(network, Task.DENOISE)(noisy)


def reached(name: str, noise: str, **settings: object) -> float:
    """PSNR of a trial on photos that it has not seen; `settings` are of the method at test time."""
    trial = TRIALS[name]
    method = build_method(trial.method, {**trial.method_args, **settings})
    noisy, clean = photos(noise, 1, 4)
    return psnr(denoised(method, learned(name, noise), noisy), clean)


def descend(network: nn.Module, trial: Trial, loss: Callable[[int], Tensor]) -> None:
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(trial.steps):
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * (1 + cos(pi * step / trial.steps)) / 2
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()


def test_every_method_has_a_trial() -> None:
    assert set(METHODS) == {trial.method for trial in TRIALS.values()}


def test_the_camera_s_noise_is_correlated_and_the_other_is_not() -> None:
    def at_one_pixel(noise: str) -> float:
        noisy, clean = photos(noise, 0, _PHOTOS)
        return float(noise_correlation((noisy - clean)[0].permute(1, 2, 0).numpy(), 1).luma[1])

    assert abs(at_one_pixel("white")) < 0.1
    assert at_one_pixel("camera") > 0.3


@here
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.slow
def test_a_method_beats_the_noisy_photo_and_not_the_clean_answer(name: str, noise: str) -> None:
    noisy, clean = photos(noise, 1, 4)
    assert psnr(noisy, clean) + MARGIN < reached(name, noise) < bound(noise)


def test_r3_helps_where_noise_is_independent() -> None:
    """After seconds of training; `benchmarks/passes.py` has it after minutes, for real noise and a second pass too."""
    assert reached("apbsn", "white", refine=8) > reached("apbsn", "white") + 0.1

"""Supervised training on clean photos with simulated camera noise.

Training examples
    A crop of a clean photo is the target. Its input comes from a camera that is drawn at random
    (`simulation.camera.random_camera`) or, half of the time, from a neutral one (`simulation.camera.neutral_camera`),
    which adds noise without blur: if most inputs were blurred, the network could take fine texture for noise. With
    given `cameras`, the crop gets their noise alone and keeps its sharpness and brightness. Most crops are reduced
    first, and faint texture is smoothed, because the film grain and sensor noise of a "clean" photo
    would otherwise be part of the target. Half of the crops get other colours. One crop in sixteen stays clean, at full
    size half of the time, so that clean photos are left unchanged. One in four is a synthetic scene in the crop's
    colours (`dead_leaves`), which has more flat areas than photos of landscapes and people. For super-resolution, the
    camera gets the crop reduced by t. A clean photo with a noisy one beside it (`training.data.NOISY`) gives real
    pairs, and nothing is simulated: the clean photo may be another model's output.
Loss
    The sum of: L1 between output and target; L1 between both averaged over squares of `_BLOCKS` pixels, which leaves
    only errors of colour; and the structural dissimilarity 1 − SSIM (after Zhao et al., TCI 2017), which favours
    smooth flat areas and exact blacks. The loss of each example is divided by the square root of its noise (the L1
    between input and target, plus `_NOISE_FLOOR`). This is half-way between the plain mean, dominated by the darkest
    exposures, and the relative error, dominated by the cleanest ones.
Noise level
    A noise-conditional network gets the example's noise level with an error as large as that of an estimate. With the
    level as input, noise and texture are separated better. Clean examples get a random level: their texture may be
    estimated as noise, and clean photos must stay unchanged for any level.
Test time
    One pass over the whole photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.image.luma import luma as luma_of
from nsp_cli.methods.base import ONE_VARIANT, Crop, Fraction, Pipeline, PlainPipeline, SelfEnsemble, check_settings
from nsp_cli.methods.coarse_chroma import with_coarse_chroma
from nsp_cli.methods.preset_settings import PHOTOGRAPHER, Preset
from nsp_cli.model.spec import Task
from nsp_cli.networks import PLAIN_NETWORKS, as_network, is_noise_conditional
from nsp_cli.networks.layers import Scale
from nsp_cli.ops.orientations import ORIENTATIONS
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.simulation.camera import Camera, decode_srgb, encode_srgb, neutral_camera, random_camera, simulate
from nsp_cli.simulation.clean_crops import cut_square, recolour, reduce_bicubic, reduce_randomly, without_grain
from nsp_cli.simulation.dead_leaves import dead_leaves
from nsp_cli.system.arguments import Between, check_arguments

_CLEAN_PROB = 1 / 16  # of examples without noise
_OFFSET_SIDE = 16
"""Side in pixels of a square; random offsets in it cover all phases of the mosaic and of JPEG's blocks and chroma."""

_REDUCED_PROB = 0.85  # of noisy examples whose photo is scaled down first
_REDUCED_CLEAN_PROB = 0.5  # the same of clean examples
_NOISE_FLOOR = 0.02  # added to an example's noise (L1, white = 1) before the loss is divided by its square root
_RECOLOURED_PROB = 0.5  # of noisy examples
_BLOCKS = (4, 16)  # sides in pixels of the squares whose means are compared
_BLOCK_WEIGHT = 0.5  # in the loss, of the L1 of each size of block; pixels have 1
_STRUCTURE_WEIGHT = 0.1  # in the loss, of structural dissimilarity
_WINDOW = 8  # side in pixels of the windows of SSIM

_LEVEL_LOG_STD = 0.3  # of the level's logarithm: an estimate is off by a quarter, and photos have noisier parts

_TEXTURE = (0.2 / 255, 20 / 255)
"""Noise levels given to the network with a clean example: dense texture is measured as this much noise."""


@dataclass(frozen=True)
class Example:
    """A training example of p×p pixels, whose target is t times as large.

    Attributes
    ----------
    noisy, target : ndarray or Tensor
        Arrays (p, p, 3) and (t·p, t·p, 3), sRGB-encoded in [0, 1], or batches (B, 3, p, p) and (B, 3, t·p, t·p).
    level : float or Tensor
        Noise level, white = 1: a number, or a tensor (B, 1, p, p) that has it at every pixel.
    """

    noisy: Any
    target: Any
    level: Any

    def pack(self, scale: int) -> Crop:
        """Return (p, p, 3 + 3·t² + 1): noisy, the clean t×t cells of each of its pixels, the noise level everywhere."""
        plane = np.full((*self.noisy.shape[:2], 1), self.level, np.float32)
        return np.concatenate([self.noisy, _cells(self.target, scale), plane], 2)

    @classmethod
    def unpack(cls, batch: Tensor, scale: int) -> Example:
        """Split a batch of packed examples (B, 3 + 3·t² + 1, p, p)."""
        return cls(batch[:, :3], F.pixel_shuffle(batch[:, 3:-1], scale), batch[:, -1:])


@dataclass(frozen=True)
class Simulated:
    """The method `simulated` trains on clean photos with simulated noise.

    An example has half the side of the crop that it is made of, which leaves room to reduce the photo first.

    Attributes
    ----------
    scale : int
        t, the factor from input to target.
    cameras : tuple of Camera or mapping
        `simulation.camera.Camera`s, or their fields, such as those that `training.adapting` fits to noisy photos.
    own_prob : float
        Fraction of the examples that use these cameras; the others use random ones, which limits forgetting.
    neutral_isp_prob : float
        Fraction of the random cameras that are neutral, see `simulation.camera.neutral_camera`.
    low_light_prob : float
        Fraction of low-light photos of the other random cameras, see `simulation.camera.random_camera`.
    synthetic_scene_prob : float
        Fraction of the examples that are synthetic scenes, see `simulation.dead_leaves`.
    ensemble : int
        Orientations of the photo over which the result is averaged at test time, 1 to 8; each takes a forward pass.
    coarse_chroma : bool
        Whether denoising takes the coarse part of the chroma from the photo at half its size, see `coarse_chroma`.
    """

    name: ClassVar[str] = "simulated"
    summary: ClassVar[str] = "learn from clean photos with simulated camera noise"
    networks = PLAIN_NETWORKS
    needs_clean_photos: ClassVar[bool] = True
    needs_teachers: ClassVar[bool] = False
    supports_noise_level = True
    inference_variants = ONE_VARIANT
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "clean photos, no GPU, an hour and a half; the weights `fast` had nearly seventeen hours of one core",
            {
                "network": "resunet",
                "network_args": {"noise_level": True},
                "minutes": 90.0,
                "patch": 256,
                "optimizer": "muon",
                "lr": 2e-3,
                "ema": 0.999,
            },
        ),
    }

    scale: Scale = 1
    cameras: tuple[Camera | Mapping[str, Any], ...] = ()
    own_prob: Fraction = 0.7
    neutral_isp_prob: Fraction = 0.5
    low_light_prob: Fraction = 0.5
    synthetic_scene_prob: Fraction = 0.25
    ensemble: Annotated[int, Between(1, ORIENTATIONS)] = 1
    coarse_chroma: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        for camera in self.cameras:
            try:
                _camera_from(camera)
            except ValueError as error:
                raise UsageError(f"The setting cameras holds no camera that can be simulated: {error}.") from error

    @property
    def smallest_patch(self) -> int:
        """Side of the smallest training patch, in pixels."""
        return 48 * self.scale

    @property
    def network_args(self) -> dict[str, object]:
        """Arguments that the method prescribes to its network."""
        return {"scale": self.scale} if self.scale > 1 else {}

    def make_example(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """Make a packed `Example` (p, p, 3 + 3·t² + 1) of a crop (P, P, 3) in [0, 1], with p = P / 2 / t.

        A crop (P, P, 6) holds the same part of a real noisy photo after the clean one. For t = 1 its example is a part
        of both, and nothing is simulated.
        """
        if crop.shape[2] > 3 and self.scale == 1:
            return _real_example(crop, rng).pack(1)
        crop = crop[..., :3]
        if rng.random() < _CLEAN_PROB:
            camera, noise_alone = None, False
        else:
            camera, noise_alone = self._draw_camera(rng)
        side = crop.shape[0] // 2 // self.scale
        room = (side + _OFFSET_SIDE - 1) * self.scale
        clean = reduce_randomly(crop, room, rng, _REDUCED_PROB if camera else _REDUCED_CLEAN_PROB)
        clean = without_grain(clean) if camera else clean
        clean = dead_leaves(clean, rng) if rng.random() < self.synthetic_scene_prob else clean
        if camera is None:
            noisy = clean if self.scale == 1 else reduce_bicubic(clean, clean.shape[0] // self.scale)
            target = clean
            level = float(np.exp(rng.uniform(*np.log(_TEXTURE))))
        else:
            clean = recolour(clean, rng) if rng.random() < _RECOLOURED_PROB else clean
            synthesize = _synthesize if self.scale == 1 else partial(_synthesize_reduced, scale=self.scale)
            noisy, target, level = synthesize(clean, camera, rng, noise_alone=noise_alone)
            level *= float(np.exp(_LEVEL_LOG_STD * rng.standard_normal()))
        y, x = rng.integers(_OFFSET_SIDE, size=2)
        t = self.scale
        noisy, target = cut_square(noisy, y, x, side), cut_square(target, y * t, x * t, side * t)
        return Example(noisy, target, level).pack(self.scale)

    def _draw_camera(self, rng: np.random.Generator) -> tuple[Camera, bool]:
        """Draw a camera, and whether it is one of `cameras`, whose noise alone is added."""
        if not self.cameras or rng.random() >= self.own_prob:
            neutral = rng.random() < self.neutral_isp_prob
            return neutral_camera(rng) if neutral else random_camera(rng, self.low_light_prob), False
        chosen = self.cameras[int(rng.integers(len(self.cameras)))]
        camera = _camera_from(chosen)
        # The noise of shots with one setting differs a little.
        gain = float(rng.uniform(0.85, 1.2))
        return replace(camera, shot_gain=camera.shot_gain * gain**2, read_noise=camera.read_noise * gain), True

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:  # noqa: ARG002
        """Compute the loss of a batch of packed examples (B, 3 + 3·t² + 1, p, p), a scalar."""
        described = as_network(network)
        batch = cut_to_multiple(batch, described.size_multiple)
        example = Example.unpack(batch, self.scale)
        conditional = is_noise_conditional(described)
        planes = torch.cat([example.noisy, example.level], 1) if conditional else example.noisy
        return example_loss(network(planes.contiguous(memory_format=torch.channels_last)), example)

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> Pipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        averaged = network if self.ensemble == 1 else SelfEnsemble(network, self.ensemble)
        pipeline = PlainPipeline(averaged, task, channels)
        return with_coarse_chroma(pipeline) if self.coarse_chroma else pipeline


def example_loss(output: Tensor, example: Example) -> Tensor:
    """Compute the loss of an output (B, 3, t·p, t·p) for a batch of examples, a scalar."""
    noisy, target = example.noisy, example.target
    base = F.interpolate(noisy, target.shape[-2:]) if noisy.shape != target.shape else noisy
    noise = (base - target).abs().mean((1, 2, 3)) + _NOISE_FLOOR
    distance = _distance(output - target) + _STRUCTURE_WEIGHT * _dissimilarity(output, target)
    return (distance / noise.sqrt()).mean()


def _real_example(crop: Crop, rng: np.random.Generator) -> Example:
    """Cut an example of half the side out of a crop (P, P, 6), the clean photo and then the noisy one."""
    side = crop.shape[0] // 2
    y, x = rng.integers(crop.shape[0] - side + 1, size=2)
    target, noisy = np.split(cut_square(crop, y, x, side), 2, axis=2)
    level = float(np.std(luma_of(noisy - target)) * np.exp(_LEVEL_LOG_STD * rng.standard_normal()))
    return Example(noisy, target, level)


def _camera_from(camera: Camera | Mapping[str, Any]) -> Camera:
    """Return a camera from its fields. Raises ValueError where they are not those of a `Camera`."""
    if isinstance(camera, Camera):
        return camera
    check_arguments(Camera, camera)
    return Camera(**camera)


def _distance(error: Tensor) -> Tensor:
    """Compute the mean absolute error of pixels and of blocks that fit, (B, C, h, w) → (B,)."""
    distance = error.abs().mean((1, 2, 3))
    for side in _BLOCKS:
        if min(error.shape[-2:]) >= side:
            distance = distance + _BLOCK_WEIGHT * F.avg_pool2d(error, side).abs().mean((1, 2, 3))
    return distance


def _dissimilarity(output: Tensor, target: Tensor) -> Tensor:
    """Compute 1 − SSIM (Wang et al., TIP 2004) of two batches (B, C, h, w) → (B,), in squares that half overlap."""
    pool = partial(F.avg_pool2d, kernel_size=_WINDOW, stride=_WINDOW // 2)
    a, b = pool(output), pool(target)
    aa, bb, ab = pool(output**2) - a * a, pool(target**2) - b * b, pool(output * target) - a * b
    light, structure = (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2), (2 * ab + 0.03**2) / (aa + bb + 0.03**2)
    return (1 - light * structure).mean((1, 2, 3))


def _synthesize(
    clean: Crop, camera: Camera, rng: np.random.Generator, *, noise_alone: bool
) -> tuple[Crop, Crop, float]:
    """Simulate a photo of a clean picture; return it, its target, and its noise level (luma, white = 1)."""
    noisy, target = simulate(clean, camera, rng)
    if noise_alone:
        noisy, target = np.asarray(np.clip(clean + (noisy - target), 0, 1), np.float32), clean
    return noisy, target, float(np.std(luma_of(noisy - target)))


def _synthesize_reduced(
    clean: Crop, camera: Camera, rng: np.random.Generator, *, noise_alone: bool, scale: int
) -> tuple[Crop, Crop, float]:
    """Simulate a photo of a picture reduced by `scale`; return it, the target of full size, and the noise level.

    The target has no blur of demosaicing.
    """
    target = encode_srgb(decode_srgb(clean) * np.float32(camera.exposure))
    small = reduce_bicubic(target, clean.shape[0] // scale)
    noisy, _, level = _synthesize(small, replace(camera, exposure=1.0, lens=0.0), rng, noise_alone=noise_alone)
    return noisy, target, level


def _cells(picture: Crop, scale: int) -> Crop:
    """Unshuffle pixels, (t·p, t·p, C) → (p, p, C·t²), with the planes in PyTorch's order."""
    side = picture.shape[0] // scale
    cells = picture.reshape(side, scale, side, scale, -1).transpose(0, 2, 4, 1, 3)
    return cells.reshape(side, side, -1)

"""Simulated camera noise, for which the clean photo is known.

::

    clean sRGB → lens → linear light → sensor exposure → RGGB mosaic → shot and read noise → demosaicing
               → white balance, colour matrix, sRGB, tone curve → luma and chroma smoothing of the noise
               → sharpening → enlargement → JPEG → noisy sRGB

The target is processed in the same way, without noise and without JPEG. A sensor clips noise at black and at white, so
the mean of many shots is brighter in the dark than the scene. That mean is the target: it is what the photo recorded,
and what "clean" is where it was made of a hundred shots, as in SIDD. Noise made this way is correlated like a camera's:
over one or two pixels in luma, over several in chroma. Pictures are (H, W, 3) float32, sRGB-encoded, in [0, 1].

After Brooks et al., "Unprocessing Images for Learned Raw Denoising" (CVPR 2019), simplified.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, pi, sqrt
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nsp_cli.image.luma import luma as luma_of
from nsp_cli.simulation import bayer
from nsp_cli.simulation.bayer import Picture
from nsp_cli.system.arguments import Between, OneOf, check_fields

_Fraction = Annotated[float, Between(0, 1)]
_Gain = Annotated[float, Between(1, 64)]
_Radius = Annotated[float, Between(0, 64)]

BILINEAR, GRADIENT, DIRECTED, IDEAL, NO_MOSAIC = "bilinear", "gradient", "directed", "ideal", "none"
DEMOSAICING = (BILINEAR, GRADIENT, DIRECTED, IDEAL, NO_MOSAIC)
"""Values of `Camera.demosaic`."""

# By how much the mean of a unit Gaussian rises where it is clipped, by the distance of the limit below its mean.
_LARGEST_DISTANCE = 6.0
_DISTANCES = np.linspace(0, _LARGEST_DISTANCE, 601)
_MEAN_SHIFTS = np.array([exp(-u * u / 2) / sqrt(2 * pi) - u * erfc(u / sqrt(2)) / 2 for u in _DISTANCES], np.float32)


@dataclass(frozen=True)
class Camera:
    """A camera and the settings of one shot. The defaults are a DSLR at about ISO 6400 whose JPEG engine is off.

    Attributes
    ----------
    shot_gain : float
        Variance of a raw value per unit of signal, raw white = 1: 1 / (electrons at raw white). 0 = none.
    read_noise : float
        Standard deviation of a raw value in the dark, as a fraction of raw white. 0 = none.
    red_gain, blue_gain : float
        White-balance gains relative to green; red and blue noise grow with them.
    exposure : float
        Factor on linear light before the sensor; less than 1 gives a darker picture with relatively more noise.
    lens : float
        Radius (standard deviation) in sensor pixels of the lens's blur, 0 = none. Noise stays as fine as it is.
    demosaic : str
        How the mosaic of a Bayer sensor becomes three colours: `BILINEAR` blurs picture and noise, `GRADIENT` has
        finer noise, `DIRECTED` follows edges and takes some noise for edges, `IDEAL` blurs the noise as `BILINEAR` does
        and the picture not at all. `NO_MOSAIC` is a sensor with three colours at every pixel. Zippers and false colours
        at edges are not simulated.
    saturation : float
        Factor of the colour matrix from sensor to sRGB on R − Y, G − Y and B − Y, and on their noise; 1 = none.
    contrast : float
        Contrast of the tone curve, whose middle is 1 + contrast / 2 times as steep and whose ends are 1 − contrast
        times; above −1 and below 1, 0 = none. Noise grows and shrinks with it.
    luma_smoothing, chroma_smoothing : float
        Radius (standard deviation) in sensor pixels of the camera's own noise filters, 0 = none. They act on the noise
        alone, as edge-aware filters do, so the target stays sharp.
    sharpening : float
        Amount of the camera's unsharp mask (radius one pixel), on photo and target alike; 0 = none.
    resize : float
        The sensor has 1 / resize of the picture's width and height and is enlarged bicubically; 1 = none. It widens the
        noise's correlation and softens the target.
    jpeg_quality : int or None
        1 to 100 (4:2:2 chroma from 90 on, else 4:2:0), or None for no JPEG and no rounding to 8 bits.

    Raises
    ------
    ValueError
        A value is out of the bounds that the annotations give.
    """

    shot_gain: _Fraction = 2.5e-3
    read_noise: _Fraction = 5e-3
    red_gain: _Gain = 2.0
    blue_gain: _Gain = 1.6
    exposure: Annotated[float, Between(0, 1000, "(]")] = 1.0
    lens: _Radius = 0.0
    demosaic: Annotated[str, OneOf(DEMOSAICING)] = BILINEAR
    saturation: _Gain = 1.0
    contrast: Annotated[float, Between(-1, 1, "()")] = 0.0
    luma_smoothing: _Radius = 0.0
    chroma_smoothing: _Radius = 0.0
    sharpening: _Radius = 0.0
    resize: _Gain = 1.0
    jpeg_quality: Annotated[int, Between(1, 100)] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


def random_camera(rng: np.random.Generator, low_light_prob: float = 0.4) -> Camera:
    """Draw a camera: from a phone in the dark (photos at 17 dB, as in SIDD) to a large sensor by day (45 dB).

    Shot and read noise are log-uniform over three decades; with `low_light_prob` both are from the noisiest part of it.
    """
    is_low_light = rng.random() < low_light_prob

    def sometimes(probability: float, low: float, high: float, otherwise: float = 0.0) -> float:
        value = float(rng.uniform(low, high))
        return value if rng.random() < probability else otherwise

    return Camera(
        shot_gain=float(10 ** (rng.uniform(-2.3, -1.2) if is_low_light else rng.uniform(-4.2, -1.9))),
        read_noise=float(10 ** (rng.uniform(-2.0, -1.0) if is_low_light else rng.uniform(-4.2, -1.8))),
        red_gain=float(rng.uniform(1.3, 2.5)),
        blue_gain=float(rng.uniform(1.3, 2.5)),
        exposure=float(2 ** rng.uniform(-2.0, 0.6)),
        lens=sometimes(0.5, 0.3, 1.1),
        demosaic=str(rng.choice([BILINEAR, GRADIENT, DIRECTED, NO_MOSAIC], p=[0.25, 0.2, 0.35, 0.2])),
        saturation=sometimes(0.7, 1.1, 1.9, 1.0),
        contrast=sometimes(0.6, -0.4, 0.7),
        luma_smoothing=sometimes(0.5, 0.3, 1.0),
        chroma_smoothing=sometimes(0.6, 0.5, 2.0),
        sharpening=sometimes(0.4, 0.2, 1.2),
        resize=sometimes(0.3, 1.25, 2.0, 1.0),
        jpeg_quality=int(rng.integers(75, 100)) if rng.random() < 0.6 else None,
    )


def neutral_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera that leaves the picture as sharp and as bright as it is, with 10,000 to 100 electrons at raw white.

    Read noise is 0.1 to 4 electrons: modern sensors have little, and a photo's darkest noise is often clipped away.
    Six in ten are JPEG of quality 75 to 99, as phones and published crops are.
    """
    shot_gain = float(10 ** rng.uniform(-4.0, -2.0))
    return Camera(
        shot_gain=shot_gain,
        read_noise=shot_gain * float(10 ** rng.uniform(-1.0, 0.6)),
        red_gain=float(rng.uniform(1.3, 2.5)),
        blue_gain=float(rng.uniform(1.3, 2.5)),
        demosaic=IDEAL,
        chroma_smoothing=float(rng.uniform(0.3, 0.7)),
        jpeg_quality=int(rng.integers(75, 100)) if rng.random() < 0.6 else None,
    )


def simulate(clean: Picture, camera: Camera, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Photograph a clean picture.

    Parameters
    ----------
    clean : Picture
        (H, W, 3) sRGB-encoded in [0, 1], H and W at least 2.

    Returns
    -------
    noisy, target : of the shape and range of `clean`. `target` is what the camera would give without noise and without
        JPEG, with its own exposure and its own demosaicing blur.

    Raises
    ------
    ValueError
        The picture has another shape.
    """
    height, width = clean.shape[:2]
    sensor = (max(2, round(width / camera.resize)), max(2, round(height / camera.resize)))
    if min(height, width) < 2 or clean.shape[2:] != (3,):
        raise ValueError(f"clean must be (H, W, 3) with H and W 2 or more, got {clean.shape}")
    scene = clean if sensor == (width, height) else _resize(clean, sensor, cv2.INTER_AREA)
    if camera.lens > 0:
        scene = cv2.GaussianBlur(scene, (0, 0), camera.lens)
    colours = _sense(np.asarray(scene, np.float32), camera)
    linear, shift = _photograph(colours, camera, rng)
    target, noisy = _develop(linear, camera), _develop(linear + shift, camera)
    noisy = np.asarray(np.clip(target + _smooth_noise(noisy - target, camera), 0, 1), np.float32)
    if camera.sharpening > 0:
        target, noisy = (_sharpen(picture, camera.sharpening) for picture in (target, noisy))
    if sensor != (width, height):
        target, noisy = (_resize(picture, (width, height), cv2.INTER_CUBIC) for picture in (target, noisy))
    return noisy if camera.jpeg_quality is None else _jpeg(noisy, camera.jpeg_quality), target


def white_noise(clean: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    """Add independent Gaussian noise of standard deviation `sigma` (white = 1) to (H, W, 3), clipped to [0, 1]."""
    return np.clip(clean + sigma * rng.standard_normal(clean.shape), 0, 1).astype(np.float32)


def decode_srgb(encoded: Picture) -> Picture:
    """Convert sRGB-encoded values to linear light, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encode_srgb(linear: Picture) -> Picture:
    """Convert linear light to sRGB-encoded values; those outside [0, 1] are clipped first, as a camera clips them."""
    clipped = np.clip(linear, 0.0, 1.0)
    return np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055).astype(np.float32)


def _sense(scene: Picture, camera: Camera) -> Picture:
    """Convert an sRGB-encoded scene to the light on the sensor, (H, W, 3), raw white = 1, without noise and mosaic."""
    encoded = scene if camera.contrast == 0 else _without_tone(scene, camera.contrast)
    linear = _saturate(decode_srgb(encoded) * np.float32(camera.exposure), 1 / camera.saturation)
    return np.clip(linear / _gains(camera), 0, 1).astype(np.float32)


def _photograph(colours: Picture, camera: Camera, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Demosaic the mean exposure and one exposure's noise; both (H, W, 3), raw white = 1."""
    mean = _mean_shot(colours, camera)
    if camera.demosaic == NO_MOSAIC:
        return mean, _expose(colours, camera, rng) - mean
    noise = np.asarray(_expose(bayer.mosaic(colours), camera, rng) - bayer.mosaic(mean), np.float32)
    if camera.demosaic in (BILINEAR, IDEAL):
        return bayer.soften(mean) if camera.demosaic == BILINEAR else mean, bayer.bilinear(noise)
    return mean, bayer.gradient(noise) if camera.demosaic == GRADIENT else bayer.directed(noise)


def _develop(raw: Picture, camera: Camera) -> Picture:
    """Convert demosaiced raw values to sRGB-encoded ones, (H, W, 3)."""
    encoded = encode_srgb(_saturate(raw * _gains(camera), camera.saturation))
    return encoded if camera.contrast == 0 else _tone(encoded, camera.contrast)


def _tone(picture: Picture, contrast: float) -> Picture:
    """Apply a curve between the straight line and the smooth step, from 0 to 1."""
    step = picture * picture * (3 - 2 * picture)
    return np.asarray(picture + np.float32(contrast) * (step - picture), np.float32)


def _without_tone(picture: Picture, contrast: float) -> Picture:
    """Undo `_tone`."""
    inputs = np.linspace(0, 1, 513, dtype=np.float32)
    return np.interp(picture, _tone(inputs, contrast), inputs).astype(np.float32)


def _gains(camera: Camera) -> Picture:
    """Return the white-balance gains of R, G and B, (3,)."""
    return np.array([camera.red_gain, 1.0, camera.blue_gain], np.float32)


def _saturate(linear: Picture, factor: float) -> Picture:
    """Multiply the chroma R − Y, G − Y and B − Y of linear light by a factor."""
    if factor == 1.0:
        return linear
    luma = luma_of(linear)[..., None]
    return np.asarray(luma + (linear - luma) * np.float32(factor), np.float32)


def _expose(raw: Picture, camera: Camera, rng: np.random.Generator) -> Picture:
    """Add Poisson shot noise and Gaussian read noise, clipped at the sensor's black and white."""
    shot = rng.poisson(raw / camera.shot_gain) * camera.shot_gain if camera.shot_gain > 0 else raw
    return np.clip(shot + camera.read_noise * rng.standard_normal(raw.shape), 0, 1).astype(np.float32)


def _mean_shot(raw: Picture, camera: Camera) -> Picture:
    """Compute the mean of `_expose`, with its noise approximated as Gaussian."""
    sigma = np.sqrt(camera.shot_gain * raw + camera.read_noise**2)
    if not sigma.any():
        return raw
    sigma = np.maximum(sigma, 1e-9)
    # Clipping at black raises the mean, clipping at white lowers it.
    raised, lowered = (_mean_shift(distance / sigma) for distance in (raw, 1 - raw))
    return np.asarray(raw + sigma * (raised - lowered), np.float32)


def _mean_shift(distance: NDArray[np.floating[Any]]) -> Picture:
    """Interpolate `_MEAN_SHIFTS`, in a quarter of the time that np.interp takes for any spacing."""
    at = np.minimum(distance, np.float32(_LARGEST_DISTANCE)).astype(np.float32) * np.float32(
        (len(_DISTANCES) - 1) / _LARGEST_DISTANCE
    )
    below = np.minimum(at.astype(np.int32), len(_DISTANCES) - 2)
    return np.asarray(_MEAN_SHIFTS[below] + (at - below) * np.diff(_MEAN_SHIFTS)[below], np.float32)


def _smooth_noise(noise: Picture, camera: Camera) -> Picture:
    """Blur luma, and R − Y, G − Y and B − Y, each by `_blur`."""
    luma = luma_of(noise)[..., None]
    chroma = np.asarray(noise - luma, np.float32)
    if camera.luma_smoothing > 0:
        luma = _blur(luma, camera.luma_smoothing, 0.25)[..., None]
    if camera.chroma_smoothing > 0:
        chroma = _blur(chroma, camera.chroma_smoothing, 0.5)
    return np.asarray(luma + chroma, np.float32)


def _blur(noise: Picture, radius: float, tail: float) -> Picture:
    """Mix two Gaussian blurs, the second with weight `tail` and three times the radius: its correlation is long."""
    narrow, wide = (cv2.GaussianBlur(noise, (0, 0), factor * radius) for factor in (1, 3))
    return np.asarray((1 - tail) * narrow + tail * wide, np.float32)


def _sharpen(picture: Picture, amount: float) -> Picture:
    """Apply an unsharp mask with a radius of one pixel."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return np.asarray(np.clip(picture + amount * (picture - blurred), 0, 1), np.float32)


def _resize(picture: Picture, size: tuple[int, int], interpolation: int) -> Picture:
    return np.clip(cv2.resize(picture, size, interpolation=interpolation), 0, 1).astype(np.float32)


def _jpeg(picture: Picture, quality: int) -> Picture:
    """Compress as JPEG and decode: 4:2:0 at ordinary quality, 4:2:2 at a camera's "fine", as cameras do."""
    factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422 if quality >= 90 else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    _, encoded = cv2.imencode(".jpg", np.rint(picture[..., ::-1] * 255).astype(np.uint8), options)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32)
    return decoded[..., ::-1] / np.float32(255)

"""White balance of a RAW file's sensor values in floating point, with the noise below black kept.

LibRaw cuts sensor values at black before it balances them. What is left of the noise in shadows has a mean above zero,
which the white balance scales differently in each channel: denoised, black is purple. Here the values are balanced
first and lifted by the same amount in all channels, so that nothing is cut, and the lift is taken off after
demosaicing. LibRaw's matrix from a camera's white-balanced colours to sRGB leaves neutral values as they are, and with
them the lift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from nsp_cli.image.codecs.raw_segments import directories
from nsp_cli.image.frame import Pixels, from_unit
from nsp_cli.image.metadata.icc import SRGB_CURVE
from nsp_cli.image.metadata.ifd import Tree

_WHITE = 65_535  # of 16 bits
_LEAST_LIFT, _MOST_LIFT = 1 / 64, 1 / 4  # fractions of the range of 16 bits
_LIFT_BY_NOISE = 3.0  # times the lowest value below black: demosaicing and the colour matrix make noise larger
_LOWEST = 0.1  # percent of the sensor's values that count as outliers
_EVERY = 7  # rows and columns of the sensor: shares no factor with the periods of filter patterns
_OWN_WHITE = 0.75  # LibRaw takes a photo's brightest value for white where it is above this fraction of the sensor's
_BLOCK, _NEAR_WHITE = 8, 25  # dcraw's automatic white balance
_PHASE_ONE = (b"IIII", b"MMMM")  # LibRaw subtracts their black rows while it develops
# A hot site exceeds the largest of the 8 neighbours of its colour by this many times their range; noise: below 1.
_HOT_FACTOR = 2.0
_HOT_FLOOR = 0.01  # of the sensor's range, in addition
_HOT_BESIDE = 0.25  # most that a site beside a hot one may differ from its own neighbours, as a fraction
_BESIDE = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)
_SAME_COLOUR = np.array([[y % 2 == x % 2 == 0 and (y, x) != (2, 2) for x in range(5)] for y in range(5)], np.uint8)
_BLACK_REPEAT, _LARGEST_REPEAT = 50713, 2  # a DNG's pattern of black levels; larger ones are known to LibRaw alone

BALANCED: dict[str, Any] = {
    "output_bps": 16,
    "gamma": (1, 1),
    "no_auto_bright": True,
    "adjust_maximum_thr": 0,
    "user_wb": [1, 1, 1, 1],
    "user_black": 0,
    "user_cblack": [0, 0, 0, 0],
    "user_sat": _WHITE,
    "highlight_mode": rawpy.HighlightMode.Clip,  # pyright: ignore[reportAttributeAccessIssue]
}
"""Keywords of `rawpy.RawPy.postprocess` for values that `balance` has prepared."""


def can_balance(raw: Any, data: bytes) -> bool:
    """Test whether `balance` takes a RAW file: one value a pixel, at most three colours, one black level a channel."""
    mosaic = raw.raw_type == rawpy.RawType.Flat and raw.raw_image is not None  # pyright: ignore[reportAttributeAccessIssue]
    if not mosaic or raw.num_colors not in (1, 3) or data[8:12] in _PHASE_ONE or data[:4] in _PHASE_ONE:
        return False
    if raw.white_level <= max(raw.black_level_per_channel):
        return False
    try:
        tree = Tree(data)
    except ValueError:
        return True
    repeats = [page.fields[_BLACK_REPEAT] for page in directories(tree) if _BLACK_REPEAT in page.fields]
    return all(max(tree.values(field), default=0) <= _LARGEST_REPEAT for field in repeats)


def balance(
    raw: Any, gains: NDArray[np.float64], *, saturation: int | None = None, keep_highlights: bool = False
) -> float:
    """Scale the sensor's values in place, by the gains of the white balance, for `postprocess(**BALANCED)`.

    Parameters
    ----------
    raw
        The `rawpy.RawPy` object, unpacked.
    gains : ndarray
        (3,), one for each colour.
    saturation : int, optional
        The value that is white; None for the sensor's, or the photo's brightest where that is not far below.
    keep_highlights : bool
        Whether 1.0 is where the channel with the largest gain saturates, instead of the one with the smallest.

    Returns
    -------
    float
        The lift, as a fraction of 65535: demosaiced values v stand for (v / 65535 - lift) / (1 - lift), where 1.0 is
        white. 0 where no value lies below black: nothing is changed then, and LibRaw's own balance does the same.
    """
    image = raw.raw_image
    black = np.array(raw.black_level_per_channel, np.float32)
    white = float(saturation or raw.white_level) - black.min()
    if saturation is None:
        brightest = float(raw.raw_image_visible.max() - black.min())
        white = brightest if _OWN_WHITE * white < brightest < white else white
    scaled = gains / (gains.max() if keep_highlights else gains.min()) / white
    factors = np.array([*scaled, scaled[1]], np.float32)  # the fourth colour of a Bayer pattern is the second green
    colours = raw.raw_colors if raw.num_colors > 1 else np.zeros(image.shape, np.uint8)
    sample = (image[::_EVERY, ::_EVERY] - black[colours[::_EVERY, ::_EVERY]]) * factors[colours[::_EVERY, ::_EVERY]]
    lowest = float(np.percentile(sample, _LOWEST))
    if lowest >= 0:
        return 0.0
    lift = float(np.clip(-_LIFT_BY_NOISE * lowest, _LEAST_LIFT, _MOST_LIFT))
    for row, of in zip(image, colours, strict=True):  # a row at a time needs no memory
        values = (row - black[of]) * factors[of]
        row[:] = np.rint(np.clip((lift + values * (1 - lift)) * _WHITE, 1, _WHITE))
    return lift


def remove_hot_sites(raw: Any) -> int:
    """Replace single hot photosites of a Bayer sensor by the median of their neighbours of the same colour, in place.

    A site is hot where it is far brighter than its 8 neighbours of the same colour, and the sites beside it, of other
    colours, differ little from theirs: the light of a star, and texture, reach those, too. Demosaicing would turn it
    into a blot, which stays.

    Returns
    -------
    int
        The number of sites that were replaced.
    """
    import cv2  # not with the module: it takes time to load

    pattern = raw.raw_pattern
    flat = raw.raw_type == rawpy.RawType.Flat  # pyright: ignore[reportAttributeAccessIssue]
    image = raw.raw_image_visible if flat else None
    if image is None or pattern is None or pattern.shape != (2, 2) or raw.num_colors != 3 or min(image.shape) < 9:
        return 0
    white = float(raw.white_level) - min(raw.black_level_per_channel)
    excess = cv2.subtract(image, cv2.dilate(image, _SAME_COLOUR))
    rows, columns = np.nonzero(excess[4:-4, 4:-4] > _HOT_FLOOR * white)
    rows, columns = rows + 4, columns + 4

    def around(y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[np.float32]:
        return np.stack([image[y + 2 * down, x + 2 * right] for down, right in _BESIDE]).astype(np.float32)

    same = around(rows, columns)
    hot = excess[rows, columns] > _HOT_FACTOR * (same.max(0) - same.min(0)) + _HOT_FLOOR * white
    rows, columns, same = rows[hot], columns[hot], same[:, hot]
    own = image[rows, columns] - np.median(same, axis=0)
    places = [(rows + down, columns + right) for down, right in _BESIDE]
    beside = np.abs([image[place] - np.median(around(*place), axis=0) for place in places])
    alone = (beside < _HOT_BESIDE * own).all(0)
    image[rows[alone], columns[alone]] = np.median(same, axis=0)[alone]
    return int(alone.sum())


def picture_balance(raw: Any) -> NDArray[np.float64]:
    """Return the gains that make the mean of the picture grey, as dcraw does: (3,).

    Squares of 8 by 8 pixels that hold a value near white are left out.
    """
    image, colours = raw.raw_image_visible, raw.raw_colors_visible
    black = np.array(raw.black_level_per_channel, np.float64)
    height, width = (side // _BLOCK * _BLOCK for side in image.shape)
    if not height or not width:
        return np.ones(3)
    shape = height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
    brightest = image[:height, :width].reshape(shape).max((1, 3))
    used = np.repeat(np.repeat(brightest <= raw.white_level - _NEAR_WHITE, _BLOCK, 0), _BLOCK, 1)
    values, kinds = image[:height, :width][used], colours[:height, :width][used]
    counts = np.bincount(kinds, minlength=4)
    sums = np.bincount(kinds, values, minlength=4) - counts * black
    sums[1], counts[1] = sums[1] + sums[3], counts[1] + counts[3]
    if sums[:3].min() <= 0:
        return np.ones(3)
    return counts[:3] / sums[:3]


def encode_signed(values: NDArray[np.uint16], lift: float, exposure: float) -> tuple[Pixels, Pixels | None]:
    """Encode developed linear values with the sRGB curve.

    Parameters
    ----------
    values : ndarray
        (H, W, C), lifted as by `balance`.
    lift : float
        The lift that `balance` returned.
    exposure : float
        Brightening in stops.

    Returns
    -------
    pixels : ndarray
        uint16 of the same shape, cut at black and white.
    below : ndarray or None
        uint16 of the same shape, how far each value is below black on the mirrored curve; None where none is.
    """
    light = (np.arange(_WHITE + 1, dtype=np.float32) / _WHITE - lift) / (1 - lift) * 2.0**exposure
    above, below = (
        from_unit(SRGB_CURVE.from_linear(np.clip(part, 0, 1).astype(np.float32)), np.uint16) for part in (light, -light)
    )
    dark = below[values]
    return above[values], dark if dark.any() else None

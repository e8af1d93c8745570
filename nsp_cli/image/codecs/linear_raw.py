"""A RAW file demosaiced in the camera's own colours, and the description of these colours in a linear DNG.

Source: Adobe, Digital Negative (DNG) Specification 1.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import rawpy
from numpy.typing import NDArray

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_mosaic import BALANCED, can_balance
from nsp_cli.image.codecs.raw_mosaic import balance as scale_mosaic
from nsp_cli.image.frame import LinearRaw, TagValue
from nsp_cli.image.metadata.exif import parse_exif
from nsp_cli.image.metadata.icc import SRGB_CURVE
from nsp_cli.image.metadata.ifd import Tree

_ASCII, _SHORT, _SRATIONAL = 2, 3, 10
_MAKE, _MODEL, _SUB_IFDS = 271, 272, 330
DNG_VERSION, CAMERA_MODEL, AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY, OPCODES_3 = 50706, 50708, 50728, 50729, 51022
_MATRIX, _EXPOSURE, _ILLUMINANT = 50721, 50730, 50778
_COLOUR_TAGS = frozenset(
    {CAMERA_MODEL, 50709, _MATRIX, 50722, 50723, 50724, 50727, AS_SHOT_NEUTRAL, AS_SHOT_WHITE_XY, _EXPOSURE, 50732}
    | {50734, 50739, _ILLUMINANT, 50779, 50931, 50932, 50934, *range(50936, 50943), 50964, 50965, 50981, 50982}
    | {*range(51107, 51111), *range(52529, 52534)}
)
"""Fields of a DNG's first directory that describe the camera's colours and its profile."""
_OPCODES_BEFORE = {51008, 51009}  # OpcodeList1 and 2: corrections before demosaicing, such as lens shading
_D65 = 21  # EXIF's number of the light that LibRaw's matrices are for
_WHITE = 65_535  # of 16 bits
_COLOURS = (1, 3)
_ORIENTATIONS = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}  # EXIF's by LibRaw's flip
_XYZ_TO_SRGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)


def demosaic(raw: Any, data: bytes, warnings: list[str]) -> tuple[NDArray[np.float32], LinearRaw]:
    """Demosaic an opened RAW file in the camera's own colours.

    Parameters
    ----------
    raw
        The `rawpy.RawPy` object, unpacked.
    data : bytes
        The file's bytes, from which a DNG's own description of its colours is taken.
    warnings : list of str
        Gets a sentence on each correction in the file that is lost.

    Returns
    -------
    pixels : (H, W, 1 or 3) float32
        White-balanced as shot, encoded with the sRGB curve, not rotated. 1.0 is where the first channel saturates;
        highlights of the other channels go on above it, and
        noise below black is kept as negative values, where the file's black level is known.
    linear : LinearRaw
        All that a DNG needs besides.

    Raises
    ------
    InputError
        The camera has four colours.
    """
    if raw.num_colors not in _COLOURS:
        raise InputError(f"a DNG needs a camera of three colours, and this one has {raw.num_colors}; use `format=tiff`")
    balance, orientation = _balance(raw), _ORIENTATIONS.get(raw.sizes.flip, 1)  # user_flip changes it
    values, lift = _demosaic(raw, data, balance)
    values = values if values.shape[2] == 3 else values[:, :, :1]
    pixels = np.empty(values.shape, np.float32)
    gain = np.float32(balance.max() / balance.min() / (1 - lift))  # the largest factor of the balance is 1
    for y in range(len(pixels)):  # a row at a time needs no memory
        pixels[y] = SRGB_CURVE.from_linear((values[y] / np.float32(_WHITE) - np.float32(lift)) * gain)
    colour = raw.num_colors == 3
    to_srgb = np.asarray(raw.color_matrix, np.float64)[:3, :3] if colour else np.eye(3)
    if not to_srgb.any():
        to_srgb = np.eye(3)
    tags, lost = _source_tags(data)
    if lost:
        warnings.append("The RAW file's corrections before demosaicing, such as lens shading, are not carried over.")
    return pixels, LinearRaw(
        neutral=tuple(float(part) for part in balance.min() / balance)[: values.shape[2]],
        to_srgb=to_srgb.astype(np.float32),
        tags=tags or (_library_tags(raw, to_srgb) if colour else ()),
        orientation=orientation,
        crop=_crop(raw.sizes, (values.shape[0], values.shape[1])),
        size=(values.shape[0], values.shape[1]),
    )


def _demosaic(raw: Any, data: bytes, balance: NDArray[np.float64]) -> tuple[NDArray[np.uint16], float]:
    """Demosaic to balanced linear light (H, W, 3), and return how far black is above 0, see `raw_mosaic.balance`.

    White is the sensor's, and not the brightest value of the photo.
    """
    saturation = min((level for level in raw.camera_white_level_per_channel or () if level > 0), default=None)
    options = {
        "output_color": rawpy.ColorSpace.raw,  # pyright: ignore[reportAttributeAccessIssue]
        "user_flip": 0,
    }
    if can_balance(raw, data) and (
        lift := scale_mosaic(raw, balance, saturation=saturation or raw.white_level, keep_highlights=True)
    ):
        return raw.postprocess(**options, **BALANCED), lift
    ignore = rawpy.HighlightMode.Ignore  # pyright: ignore[reportAttributeAccessIssue]
    if saturation is not None:  # LibRaw compares it with values from which black has been subtracted
        saturation -= min(raw.black_level_per_channel)
    options |= {"user_sat": saturation, "user_wb": [*balance, balance[1]], "highlight_mode": ignore}
    options |= {"user_black": None, "user_cblack": None}
    return raw.postprocess(**BALANCED | options), 0.0


def camera_model(exif: bytes | None) -> str:
    """Return the name that DNG programs find a camera's profile by, such as "Nikon D800", from its EXIF."""
    try:
        tree, first = parse_exif(exif or b"")
    except ValueError:
        return "Unknown camera"
    make, model = (
        tree.raw(first.fields[tag]).split(b"\0")[0].decode("ascii", "replace").strip() if tag in first.fields else ""
        for tag in (_MAKE, _MODEL)
    )
    maker = make.split(" ")[0]
    if maker.casefold() == model.split(" ")[0].casefold() or model.startswith("PENTAX "):
        maker, _, model = model.partition(" ")
    return f"{maker.capitalize()} {model}".strip() or "Unknown camera"


def _balance(raw: Any) -> NDArray[np.float64]:
    """Return the factors of the white balance as shot, or of daylight where the file does not have it."""
    if raw.num_colors == 3:
        for factors in (raw.camera_whitebalance, raw.daylight_whitebalance):
            if min(factors[:3]) > 0:
                return np.array(factors[:3], np.float64)
    return np.ones(3)


def _source_tags(data: bytes) -> tuple[tuple[TagValue, ...], bool]:
    """Return a DNG's fields on its camera's colours, and whether it has corrections that are lost.

    Other RAW files have nothing of it.
    """
    try:
        tree = Tree(data)
        first = tree.directory(tree.first)
        if DNG_VERSION not in first.fields:
            return (), False
        subs = tree.values(first.fields[_SUB_IFDS]) if _SUB_IFDS in first.fields else ()
        pages = [first, *(tree.directory(int(offset)) for offset in subs)]
        fields = [field for tag, field in first.fields.items() if tag in _COLOUR_TAGS]
        fields += [page.fields[OPCODES_3] for page in pages if OPCODES_3 in page.fields][:1]
        tags = tuple((field.tag, field.kind, tree.values(field)) for field in fields)
    except ValueError:
        return (), False
    return tags, any(_OPCODES_BEFORE & page.fields.keys() for page in pages)


def _library_tags(raw: Any, to_srgb: NDArray[np.float64]) -> tuple[TagValue, ...]:
    """Return LibRaw's data on the colours of a camera, for a file that does not describe them."""
    matrix = np.asarray(raw.rgb_xyz_matrix, np.float64)[:3]
    if not matrix.any():  # LibRaw has only its matrix of white-balanced colours
        daylight = np.array(raw.daylight_whitebalance[:3], np.float64)
        balance = daylight if daylight.min() > 0 else np.ones(3)
        matrix = np.linalg.inv(to_srgb * balance) @ _XYZ_TO_SRGB
    rationals = tuple(part for value in matrix.ravel() for part in (round(value * 10_000), 10_000))
    return (_MATRIX, _SRATIONAL, rationals), (_ILLUMINANT, _SHORT, (_D65,)), (_EXPOSURE, _SRATIONAL, (0, 1))


def _crop(sizes: Any, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the (left, top, width, height) of the visible part; the whole picture by default."""
    height, width = shape
    left, top = sizes.crop_left_margin - sizes.left_margin, sizes.crop_top_margin - sizes.top_margin
    inside = min(left, top) >= 0 and left + sizes.crop_width <= width and top + sizes.crop_height <= height
    if not inside or 0 in (sizes.crop_width, sizes.crop_height) or shape != (sizes.height, sizes.width):
        return 0, 0, width, height
    return left, top, sizes.crop_width, sizes.crop_height

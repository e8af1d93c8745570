"""TIFF through tifffile: 8 and 16 bits and float32, with its EXIF directories."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

import numpy as np
from tifffile import TiffFile, TiffPage

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.raw_kinds import is_reduced
from nsp_cli.image.codecs.tiff_segments import DEFLATE, FLOAT_PREDICTOR, LZW, decode_page
from nsp_cli.image.codecs.tiff_writer import encode
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, Pixels, from_unit, peak, range_fault, split_channels, to_unit
from nsp_cli.image.metadata.exif import ICC_TAG, IPTC_TAG, PHOTOSHOP_TAG, XMP_TAG, exif_dpi, exif_from_tiff
from nsp_cli.image.metadata.ifd import Directory, Tree
from nsp_cli.image.metadata.photoshop import iptc_blocks, left_behind, resources

__all__ = ["decode", "encode"]

# tifffile reports odd tags through logging, which is silent unless a program sets it up.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_SUB_IFDS, _DNG_VERSION = 330, 50706
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CFA = 0, 1, 2, 32803
_OTHER_COLOURS = {3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}
_PACKBITS = 32773  # compression
_COMPRESSIONS = {1, LZW, *DEFLATE, _PACKBITS}
_DEPTHS = {("uint8", 8), ("uint16", 16), ("float32", 32)}
_PREMULTIPLIED, _UNASSOCIATED = 1, 2
_READ_AHEAD = 4 << 20
"""Bytes of strips that tifffile decodes before it puts them in place; by itself it takes 256 MB."""


def decode(data: bytes) -> Frame:
    """Decode a TIFF file; see `Codec.decode`."""
    tree = Tree(data)
    first = tree.directory(tree.first)
    with _checked(BytesIO(data), tree, first) as page:
        array = _pixels(page, data)
        photometric, extra = page.photometric, page.extrasamples
    pixels, alpha = split_channels(array)
    if photometric == _WHITE_IS_ZERO:
        pixels = (pixels.dtype.type(peak(pixels.dtype)) - pixels).astype(pixels.dtype)
    exif, warnings = exif_from_tiff(tree)
    if photometric == _WHITE_IS_ZERO and pixels.dtype == np.float32:
        warnings += ("In the float TIFF 0 is white: it was inverted (1 minus each value), as it will be written.",)
    if first.next:
        warnings += ("The TIFF's further pages, smaller pictures of the photo, are not carried over.",)
    if alpha is not None and extra and extra[0] == _PREMULTIPLIED:
        pixels = _unmultiply(pixels, alpha)
        warnings += ("The TIFF's premultiplied alpha was turned into plain alpha, as it will be written.",)
    elif alpha is not None and tuple(extra) != (_UNASSOCIATED,):
        warnings += ("The TIFF's extra channel has no stated meaning and is carried as alpha.",)
    icc, xmp, iptc = (_bytes(tree, first, tag) for tag in (ICC_TAG, XMP_TAG, IPTC_TAG))
    in_photoshop = list(resources(_bytes(tree, first, PHOTOSHOP_TAG) or b""))
    iptc = iptc or next(iter(iptc_blocks(in_photoshop)), None)
    warnings += tuple(left_behind(in_photoshop, "TIFF"))
    return Frame(pixels, alpha, Metadata(icc, exif, xmp, exif_dpi(exif), iptc), "tiff", warnings=warnings)


def check_header(data: Any) -> None:
    """Raise the InputError or ValueError of `decode` as far as the directories decide; `data` is mapped memory."""
    tree = Tree(data)
    with _checked(data, tree, tree.directory(tree.first)):
        pass


@contextmanager
def _checked(file: Any, tree: Tree, first: Directory) -> Generator[TiffPage]:
    """Open the first page of a file whose structure is `tree`, after all checks that need no pixels."""
    _check_pages(tree, first)
    with TiffFile(file) as opened:
        page = cast(TiffPage, opened.pages[0])
        check_size(page.imagewidth, page.imagelength)
        _check_page(page, len(tree.data))
        yield page


def _bytes(tree: Tree, directory: Directory, tag: int) -> bytes | None:
    field = directory.fields.get(tag)
    return tree.raw(field) or None if field else None


def _check_pages(tree: Tree, first: Directory) -> None:
    """Raise InputError for RAW files that are TIFFs, and for files with more than one full picture."""
    if _DNG_VERSION in first.fields or (is_reduced(tree, first) and _SUB_IFDS in first.fields):
        raise InputError("this is a RAW file in TIFF form: give it the suffix of its camera")
    seen, full, page = {tree.first}, 1, first
    while page.next and page.next not in seen:
        seen.add(page.next)
        page = tree.directory(page.next)
        full += not is_reduced(tree, page)
    if full > 1:
        raise InputError(f"the TIFF has {full} pictures, and one is supported: split it first")


def _check_page(page: TiffPage, size: int) -> None:
    """Raise InputError for pixels of a kind that a `Frame` does not hold, ValueError for ones that are cut off."""
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(page.photometric)
    if colours is None:
        if page.photometric == _CFA:
            raise InputError("this is a RAW file in TIFF form: give it the suffix of its camera")
        found = _OTHER_COLOURS.get(page.photometric, f"photometric {int(page.photometric)}")
        raise InputError(f"a TIFF in {found} is not supported: convert it to grey or RGB first")
    if page.samplesperpixel - colours not in (0, 1):
        raise InputError(
            f"a TIFF of {page.samplesperpixel} channels is not supported: at most one beside the colours is"
        )
    if page.compression not in _COMPRESSIONS:
        found = getattr(page.compression, "name", page.compression)
        raise InputError(f"TIFF compression {found} is not supported: use LZW, Deflate or none")
    if page.dtype is None or (page.dtype.name, page.bitspersample) not in _DEPTHS:
        kind = {1: "unsigned", 2: "signed", 3: "float"}.get(int(page.sampleformat), "unknown")
        raise InputError(
            f"a TIFF of {page.bitspersample} bits, {kind}, is not supported: convert it to 8, 16 or float 32 bits"
        )
    if page.fillorder != 1:
        raise InputError("a TIFF with FillOrder 2 (reversed bits) is not supported")
    if page.imagedepth != 1:
        raise InputError(f"a TIFF volume ({page.imagedepth} deep) is not supported: give a flat picture")
    ends = [start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or 0 in page.databytecounts or 0 in page.dataoffsets:
        raise ValueError("pixels are missing")


def _pixels(page: TiffPage, data: bytes) -> Pixels:
    """Return pixels (H, W, C) as stored, in native byte order. Raises `InputError` for floats out of range."""
    by_hand = page.compression == LZW or page.predictor == FLOAT_PREDICTOR
    array = decode_page(page, data) if by_hand else page.asarray(squeeze=False, buffersize=_READ_AHEAD)
    planes, _, height, width, samples = array.shape
    array = array.reshape(planes, height, width, samples).transpose(1, 2, 0, 3).reshape(height, width, -1)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if fault := range_fault(array):
        raise InputError(f"a float TIFF {fault}")
    return array


def _unmultiply(pixels: Pixels, alpha: Pixels) -> Pixels:
    cover = to_unit(alpha)[:, :, None]
    opaque = np.divide(to_unit(pixels), cover, out=np.zeros(pixels.shape, np.float32), where=cover > 0)
    return np.where(cover == 1, pixels, from_unit(opaque, pixels.dtype))

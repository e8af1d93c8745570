"""AVIF of 8 bits through Pillow, where Pillow was built with it."""

from __future__ import annotations

import struct
from fractions import Fraction
from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin, Image

from nsp_cli.errors import InputError
from nsp_cli.image.codecs.trailers import named_boxes
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, Pixels, split_channels
from nsp_cli.image.metadata.boxes import PrimaryPicture, primary_picture, without_exif
from nsp_cli.image.metadata.cicp import profile_of_codes
from nsp_cli.image.metadata.exif import exif_dpi

_HIGH_BIT_DEPTH = 0x40  # the flag of av1C for more than 8 bits


def decode(data: bytes) -> Frame:
    """Decode an AVIF file of 8 bits; see `Codec.decode`."""
    if not AvifImagePlugin.SUPPORTED:
        raise InputError("this Pillow cannot read AVIF: install pillow 11.3 or newer")
    configuration = data.find(b"av1C")
    if configuration >= 0 and data[configuration + 6] & _HIGH_BIT_DEPTH:
        # Pillow would give the upper 8 bits in silence.
        raise InputError("AVIF of 10 or 12 bits a channel is not supported: convert it to 16-bit PNG or TIFF first")
    image, damaged = _opened(data)
    check_size(*image.size)
    if image.n_frames > 1:
        raise InputError(f"an animated AVIF ({image.n_frames} frames) is not supported: give a still picture")
    image.load()
    described = primary_picture(data)
    properties = dict(described.properties)
    array = _clean_aperture(np.array(image), properties.get(b"clap"))
    pixels, alpha = split_channels(array)
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    icc = info.get("icc_profile") or _profile(properties.get(b"colr", b""), grey=pixels.shape[2] == 1)
    metadata = Metadata(icc, exif, info.get("xmp") or None, exif_dpi(exif))
    warnings = (*damaged, *left_behind(described, "AVIF"), *named_boxes(data, "AVIF"))
    return Frame(pixels, alpha, metadata, "avif", warnings=warnings)


def _opened(data: bytes) -> tuple[AvifImagePlugin.AvifImageFile, tuple[str, ...]]:
    """Open an AVIF, without its EXIF where that is damaged; returns a sentence on it."""
    try:
        return AvifImagePlugin.AvifImageFile(BytesIO(data)), ()
    except Exception:
        bare = without_exif(data)
        if bare == data:
            raise
        image = AvifImagePlugin.AvifImageFile(BytesIO(bare))
        return image, ("The AVIF has damaged metadata, which is not carried over: EXIF.",)


def _profile(colr: bytes, *, grey: bool) -> bytes | None:
    """Return the ICC profile of the colours that an AVIF describes by numbers alone; None for sRGB."""
    if colr[:4] != b"nclx" or len(colr) < 8:
        return None
    primaries, transfer = struct.unpack_from(">HH", colr, 4)
    return profile_of_codes(primaries, transfer, grey=grey)


def _clean_aperture(array: Pixels, clap: bytes | None) -> Pixels:
    """Crop to the part that is to be seen. Raises ValueError where it lies outside the picture."""
    if clap is None:
        return array
    numbers = struct.unpack(">IIIIiIiI", clap)
    if 0 in numbers[1::2]:
        raise ValueError("its clean aperture is damaged")
    across, down, right, below = (Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2))
    height, width = array.shape[:2]
    left, top = right + (width - across) / 2, below + (height - down) / 2
    edges = top, top + down, left, left + across
    if any(edge.denominator != 1 for edge in edges) or not (
        0 <= top < edges[1] <= height and 0 <= left < edges[3] <= width
    ):
        raise ValueError("its clean aperture is damaged")
    return np.ascontiguousarray(array[int(top) : int(edges[1]), int(left) : int(edges[3])])


def left_behind(described: PrimaryPicture, title: str) -> tuple[str, ...]:
    """Return a sentence on the pictures of an AVIF or HEIC besides its primary one that no result has."""
    if described.gain_map:
        return (f"The {title}'s gain map, which makes it HDR, is not carried over.",)
    if described.further:
        return (f"The further pictures inside the {title} (depth, gain map) are not carried over.",)
    return ()


class _VerbatimExif(Image.Exif):
    """Pillow reads the orientation from it, for AVIF's own rotation box, and writes the block as it was found."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self.load(block)
        self._block = block

    def tobytes(self, offset: int = 8) -> bytes:  # noqa: ARG002 - Pillow's signature
        return self._block


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
    """Encode a frame; see `Codec.encode`."""
    if not AvifImagePlugin.SUPPORTED:
        raise ValueError("this Pillow cannot write AVIF, pillow 11.3 or newer can")
    metadata, out = frame.metadata, BytesIO()
    channels = frame.channels()
    warnings: tuple[str, ...] = ()
    exif: Image.Exif | bytes = b""
    try:
        exif = _VerbatimExif(metadata.exif) if metadata.exif else exif
    except Exception:  # Pillow's parser has many ways to fail
        warnings += ("EXIF is not kept: it is damaged, and AVIF needs its orientation.",)
    if channels.shape[2] == 2:
        warnings += ("AVIF has no grey pictures with alpha here: it is written as RGB with equal channels.",)
        channels = np.concatenate([np.repeat(channels[:, :, :1], 3, axis=2), channels[:, :, 1:]], axis=2)
    pixels = channels[:, :, 0] if channels.shape[2] == 1 else channels
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        out,
        "AVIF",
        quality=quality,
        subsampling="4:0:0" if pixels.ndim == 2 else "4:4:4",
        exif=exif,
        icc_profile=metadata.icc or b"",
        xmp=metadata.xmp or b"",
    )
    return out.getvalue(), warnings

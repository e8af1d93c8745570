"""AVIF of 8 bits through Pillow, where Pillow was built with it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin, Image

from nsp_cli.errors import InputError
from nsp_cli.image.formats import check_size
from nsp_cli.image.frame import Frame, Metadata, split_channels
from nsp_cli.image.metadata.exif import exif_dpi

_HIGH_BIT_DEPTH = 0x40


def decode(data: bytes) -> Frame:
    if not AvifImagePlugin.SUPPORTED:
        raise InputError("expected a format that this Pillow can read, found AVIF: install pillow 11.3 or newer")
    configuration = data.find(b"av1C")
    if configuration >= 0 and data[configuration + 6] & _HIGH_BIT_DEPTH:
        # Pillow would give the upper 8 bits in silence.
        raise InputError("expected an AVIF of 8 bits a channel, found 10 or 12: convert it to 16-bit PNG or TIFF first")
    image = AvifImagePlugin.AvifImageFile(BytesIO(data))
    check_size(*image.size)
    if image.n_frames > 1:
        raise InputError(f"expected a still picture, found an animated AVIF of {image.n_frames} frames")
    image.load()
    pixels, alpha = split_channels(np.array(image))
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    metadata = Metadata(info.get("icc_profile") or None, exif, info.get("xmp") or None, exif_dpi(exif))
    return Frame(pixels, alpha, metadata, "avif")


class _VerbatimExif(Image.Exif):
    """Pillow reads the orientation from it, for AVIF's own rotation box, and writes the block as it was found."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self.load(block)
        self._block = block

    def tobytes(self, offset: int = 8) -> bytes:  # noqa: ARG002 - Pillow's signature
        return self._block


def encode(frame: Frame, quality: int) -> tuple[bytes, tuple[str, ...]]:
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

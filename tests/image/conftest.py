from __future__ import annotations

from collections.abc import Callable

import pytest
from image_builders import build_exif, build_maker_note, random_frame, smooth_frame
from PIL import ImageCms

from nsp_cli.image import Frame, Metadata


@pytest.fixture(params=["<", ">"], ids=["little-endian", "big-endian"])
def exif(request: pytest.FixtureRequest) -> bytes:
    return build_exif(request.param)


@pytest.fixture
def maker_note(exif: bytes) -> bytes:
    return build_maker_note("<" if exif[:1] == b"I" else ">")


@pytest.fixture
def metadata(exif: bytes) -> Metadata:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a exif:PixelXDimension="640">caf\xc3\xa9</a></x:xmpmeta>'
    return Metadata(icc, exif, xmp, (300.0, 300.0), b"\x1c\x02\x78\x00\x05hello")


@pytest.fixture
def make_frame() -> Callable[..., Frame]:
    return random_frame


@pytest.fixture
def make_smooth() -> Callable[..., Frame]:
    return smooth_frame

"""What a file says is true again after `sr`: pixel sizes, thumbnail, orientation, alpha, chroma."""

from io import BytesIO

import numpy as np
import pytest
from icc_builders import rgb_profile
from image_builders import build_exif, random_frame, smooth_frame
from PIL import Image

from nsp_cli.engine.process import process
from nsp_cli.image import Frame, Metadata, encode, read
from nsp_cli.model.spec import PipelineSpec
from tests.engine.test_process import Fake

TWICE = Fake(
    lambda tile: tile.repeat(2, 2).repeat(2, 3),
    PipelineSpec(task="shuffle", scale=2, multiple=2, halo=4, working_bytes=100),
)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a exif:PixelXDimension="64" exif:PixelYDimension="48"/></x:xmpmeta>'


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["jpeg", "png", "tiff", "webp", "avif"])
@pytest.mark.parametrize("icc", [None, rgb_profile("p3")], ids=["srgb", "p3"])
def test_exif_and_xmp_are_true_for_the_larger_picture(name: str, order: str, icc: bytes | None) -> None:
    photo = Frame(smooth_frame().pixels, metadata=Metadata(icc, build_exif(order), XMP))
    source = read(encode(photo, name)[0])
    data, warnings = encode(process(source, TWICE), name)
    assert warnings == ()
    with Image.open(BytesIO(data)) as image:
        assert sorted(image.size) == [96, 128]  # Pillow turns some formats by their orientation
        exif = image.getexif()
        sub = exif.get_ifd(0x8769)
        assert (sub[0xA002], sub[0xA003]) == (128, 96)
        assert (exif.get_ifd(0xA005) or {0x1001: 128})[0x1001] == 128
        assert exif[274] == 6
        assert not exif.get_ifd(1), "the thumbnail showed the small picture"
        assert exif.get_ifd(0x8825)[2] == (48, 51, 12.34)
        assert (exif[0x011A], exif[0x011B]) == (300, 300)
        assert sub[0xA434] == "Lens 50mm f/1.8"
        assert image.info.get("icc_profile") == icc
    found = read(data)
    assert found.size == (96, 128)
    assert found.metadata.xmp == XMP.replace(b'"64"', b'"128"').replace(b'"48"', b'"96"')


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_s_chroma_is_not_coarser_and_its_quality_is_95(subsampling: str) -> None:
    out = BytesIO()
    Image.fromarray(smooth_frame().pixels).save(out, "JPEG", quality=90, subsampling=subsampling)
    result = process(read(out.getvalue()), TWICE)
    data = encode(result, "jpeg")[0]
    assert read(data).jpeg_subsampling == subsampling
    wanted = BytesIO()
    Image.fromarray(result.pixels).save(wanted, "JPEG", quality=95, subsampling=subsampling)
    with Image.open(BytesIO(data)) as ours, Image.open(wanted) as theirs:
        assert ours.quantization == theirs.quantization  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_and_depth(dtype: str, channels: int) -> None:
    result = process(random_frame(dtype, channels, alpha=True), TWICE)
    assert result.alpha is not None
    assert (result.alpha.shape, result.alpha.dtype) == ((46, 62), np.dtype(dtype))
    assert read(encode(result, "tiff")[0]).channels().shape == (46, 62, channels + 1)

"""A JPEG whose end or middle is missing is refused, which libjpeg fills with flat blocks; a whole one never is."""

from io import BytesIO
from itertools import product

import numpy as np
import pytest
from PIL import Image

from nsp_cli.errors import InputError
from nsp_cli.image import read
from nsp_cli.image.codecs import jpeg as jpeg_codec
from nsp_cli.simulation.scene import sample_picture

KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 5},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 5},
}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.rint(255 * sample_picture(61, 83, np.random.default_rng(0))).astype(np.uint8)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_whole_files_are_read(kind: dict[str, object], picture: np.ndarray) -> None:
    """With flat corners too, which look as missing blocks do, and with bytes after the end."""
    flat = np.pad(picture, ((0, 20), (0, 20), (0, 0)))
    for pixels, quality, subsampling in product((picture, flat, flat[..., 1], flat[-1:, -1:]), (50, 95), (0, 2)):
        data = jpeg(pixels, quality=quality, subsampling=subsampling, **kind)
        for whole in (data, data + b"camera's own \xff\xd9 bytes"):
            assert read(whole).size == pixels.shape[:2]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_whole_files_are_decoded_once_to_the_values_of_pillow(
    monkeypatch: pytest.MonkeyPatch, kind: dict[str, object], picture: np.ndarray
) -> None:
    monkeypatch.setattr(jpeg_codec, "has_every_block", lambda *_, **__: pytest.fail("decoded a second time"))
    for pixels, subsampling in product((picture, picture[..., 1]), ("4:4:4", "4:2:2", "4:2:0")):
        data = jpeg(pixels, quality=90, subsampling=subsampling, **kind)
        expected = np.asarray(Image.open(BytesIO(data)))
        np.testing.assert_array_equal(read(data).pixels, expected.reshape(read(data).pixels.shape))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("share", [0.4, 0.1])
def test_a_missing_end_is_refused_although_the_file_has_one(
    kind: dict[str, object], share: float, picture: np.ndarray
) -> None:
    data = jpeg(picture, quality=90, **kind)
    with pytest.raises(InputError, match="a part of the picture is missing"):
        read(data[: -round(share * len(data))] + b"\xff\xd9")


@pytest.mark.parametrize("kind", [KINDS["plain"], KINDS["restarts"]], ids=["plain", "restarts"])
def test_a_missing_middle_is_refused(kind: dict[str, object], picture: np.ndarray) -> None:
    data = jpeg(picture, quality=90, **kind)
    damaged = data[: len(data) * 5 // 10] + data[len(data) * 7 // 10 :]
    assert np.asarray(Image.open(BytesIO(damaged))).shape == picture.shape  # Pillow takes it
    with pytest.raises(InputError, match="a part of the picture is missing"):
        read(damaged)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_padding_before_the_end_marker_loses_nothing(kind: dict[str, object], picture: np.ndarray) -> None:
    data = jpeg(picture, quality=90, **kind)
    for padding in (b"\xff\xff", bytes(16), bytes(500)):
        np.testing.assert_array_equal(read(data[:-2] + padding + data[-2:]).pixels, read(data).pixels)


def test_random_bytes_in_the_middle_are_often_found(picture: np.ndarray) -> None:
    """Pillow takes all of these; that some are not found is because a decoder may be in step again after the damage."""
    data, rng, found = jpeg(picture, quality=90), np.random.default_rng(0), 0
    for place in np.linspace(0.5 * len(data), 0.9 * len(data), 20).astype(int):
        damaged = data[:place] + rng.integers(0, 255, 16, np.uint8).tobytes() + data[place + 16 :]
        try:
            read(damaged)
        except InputError:
            found += 1
    assert found >= 8


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_without_its_end_marker_alone_is_read(kind: dict[str, object], picture: np.ndarray) -> None:
    """One byte less of the picture itself is refused, and so is a missing last scan."""
    data = jpeg(picture, quality=90, **kind)
    whole = read(data).pixels
    for cut in (1, 2):
        found = read(data[:-cut])
        np.testing.assert_array_equal(found.pixels, whole)
        assert "end marker" in found.warnings[0]
    scans = data.rindex(b"\xff\xda")
    for missing in (data[:-4], data[: len(data) // 2], *([data[:scans]] if "progressive" in kind else [])):
        with pytest.raises(InputError, match="missing"):
            read(missing)

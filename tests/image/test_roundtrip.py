"""A photo that is written and read again is the same photo."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_builders import random_frame

from nsp_cli.image import Frame, encode, read, write
from nsp_cli.image.formats import BY_NAME, Format

LOSSLESS = [("png", "uint8"), ("png", "uint16"), ("tiff", "uint8"), ("tiff", "uint16"), ("tiff", "float32")]


def assert_same_pixels(found: Frame, wanted: Frame) -> None:
    assert found.pixels.dtype == wanted.pixels.dtype
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    assert (found.alpha is None) == (wanted.alpha is None)
    if wanted.alpha is not None:
        np.testing.assert_array_equal(found.alpha, wanted.alpha)


@given(
    kind=st.sampled_from(LOSSLESS),
    channels=st.sampled_from([1, 3]),
    alpha=st.booleans(),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 999),
)
@settings(max_examples=120, deadline=None)
def test_lossless_formats_keep_every_value(
    kind: tuple[str, str], channels: int, alpha: bool, size: tuple[int, int], seed: int
) -> None:
    frame = random_frame(kind[1], channels, alpha, size, seed=seed)
    data, warnings = encode(frame, kind[0])
    assert warnings == ()
    found = read(data)
    assert_same_pixels(found, frame)
    assert found.container == kind[0]
    assert found.warnings == ()


@pytest.mark.parametrize(("name", "dtype"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (301, 257)])
def test_every_depth_and_shape(name: str, dtype: str, channels: int, alpha: bool, size: tuple[int, int]) -> None:
    frame = random_frame(dtype, channels, alpha, size)
    assert_same_pixels(read(encode(frame, name)[0]), frame)


@pytest.mark.parametrize("alpha", [False, True])
def test_webp_of_quality_100_is_lossless_even_where_it_is_transparent(alpha: bool) -> None:
    frame = random_frame("uint8", 3, alpha)
    data, warnings = encode(frame, "webp", quality=100)
    assert warnings == ()
    assert_same_pixels(read(data), frame)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("size", [(48, 64), (1, 1), (1, 2000)])
def test_lossy_formats_stay_close(name: str, size: tuple[int, int], make_smooth: Callable[..., Frame]) -> None:
    frame = make_smooth(size)
    found = read(encode(frame, name)[0])
    assert np.abs(found.pixels.astype(int) - frame.pixels).mean() < 2


@pytest.mark.parametrize("name", ["jpeg", "avif"])
def test_grey_stays_grey(name: str, make_smooth: Callable[..., Frame]) -> None:
    frame = make_smooth(channels=1)
    data, warnings = encode(frame, name)
    assert warnings == ()
    found = read(data)
    assert found.pixels.shape == frame.pixels.shape
    assert np.abs(found.pixels.astype(int) - frame.pixels).max() < 6


@pytest.mark.parametrize("known", ["4:4:4", "4:2:2", "4:2:0", None])
def test_jpeg_chroma_is_never_coarser(known: str | None, make_smooth: Callable[..., Frame]) -> None:
    frame = make_smooth()
    frame = Frame(frame.pixels, container="jpeg", jpeg_subsampling=known)
    assert read(encode(frame, "jpeg")[0]).jpeg_subsampling == (known or "4:4:4")


def test_jpeg_quality_is_heeded(make_frame: Callable[..., Frame]) -> None:
    sizes = [len(encode(make_frame(), "jpeg", quality=quality)[0]) for quality in (1, 50, 95, 100)]
    assert sizes == sorted(set(sizes))
    assert encode(make_frame(), "jpeg")[0] == encode(make_frame(), "jpeg", quality=95)[0]


@pytest.mark.parametrize("name", ["plain", "Ünïcode ñ 写真 фото", "with space", "ends.with.dots."])
@pytest.mark.parametrize("row", BY_NAME.values(), ids=lambda row: row.name)
def test_any_file_name_and_suffix(name: str, row: Format, tmp_path: Path, make_smooth: Callable[..., Frame]) -> None:
    frame = make_smooth((9, 7))
    for suffix in (*row.suffixes, row.suffixes[0].upper()):
        target = tmp_path / f"{name}{suffix}"
        write(frame, target, overwrite=True)
        found = read(target)
        assert found.container == row.name
        assert found.size == frame.size

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nsp_cli.image
from nsp_cli.image import SUFFIXES, WRITABLE, Frame, from_unit, is_photo, peak, to_unit
from nsp_cli.image.frame import split_channels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unit_range_is_bit_exact_for_every_value(dtype: type) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    unit = to_unit(values)
    assert unit.dtype == np.float32
    assert (unit[0], unit[-1]) == (0, 1)
    assert from_unit(unit, dtype).dtype == values.dtype
    np.testing.assert_array_equal(from_unit(unit, dtype), values)


def test_from_unit_rounds_and_clips_integers_and_leaves_floats() -> None:
    values = np.array([-0.5, 0.5, 1.5], np.float32)
    np.testing.assert_array_equal(from_unit(values, np.uint8), [0, 128, 255])
    np.testing.assert_array_equal(from_unit(values, np.float32), values)


def test_peak_refuses_other_depths() -> None:
    with pytest.raises(ValueError, match="uint8, uint16 or float32"):
        peak(np.int16)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_split_channels_inverts_channels(count: int) -> None:
    array = np.arange(5 * 7 * count, dtype=np.uint16).reshape(5, 7, count)
    pixels, alpha = split_channels(array)
    assert pixels.shape[2] == (1 if count < 3 else 3)
    np.testing.assert_array_equal(Frame(pixels, alpha).channels(), array)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 2), (0, 5, 3)])
def test_frame_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        Frame(np.zeros(shape, np.uint8))


def test_frame_refuses_alpha_of_another_depth() -> None:
    with pytest.raises(ValueError, match="alpha must be"):
        Frame(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint16))


def test_is_photo_goes_by_suffix_and_skips_hidden_files() -> None:
    assert is_photo(Path("a/B.JPG"))
    assert is_photo(Path("Ünïcode 写真.tiff"))
    assert not is_photo(Path("a/.hidden.png"))
    assert not is_photo(Path("notes.txt"))
    assert SUFFIXES[".jpeg"] == "jpeg"
    assert set(WRITABLE) <= set(SUFFIXES)


def test_import_is_light() -> None:
    code = "import sys, nsp_cli.image; print([m for m in ('PIL', 'cv2', 'tifffile', 'torch') if m in sys.modules])"
    root = Path(nsp_cli.image.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"

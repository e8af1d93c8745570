"""Colours under an alpha of 0 do not reach the visible ones."""

import cv2
import numpy as np
import pytest

from nsp_cli.engine.process import process
from nsp_cli.image import Frame
from nsp_cli.image.alpha import fill_hidden
from nsp_cli.model.spec import PipelineSpec
from tests.engine.test_process import Fake

DTYPES = pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])


def cut_out(dtype: str = "uint8", colour: float = 0.0) -> tuple[Frame, np.ndarray]:
    """A slow ramp of which a disc is visible, with another colour under the rest; and the ramp itself."""
    rows, columns = np.mgrid[0:61, 0:83]
    top = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    ramp = np.stack([0.5 + rows / 400, 0.9 - columns / 400, 0.4 + columns / 400], 2)
    seen = (rows - 30) ** 2 + (columns - 40) ** 2 < 20**2
    pixels = np.where(seen[..., None], ramp, colour)
    return Frame((pixels * top).astype(dtype), (seen * top).astype(dtype)), ramp * top


@DTYPES
def test_hidden_colours_continue_the_visible_ones(dtype: str) -> None:
    frame, ramp = cut_out(dtype)
    filled = fill_hidden(frame)
    assert filled.alpha is not None
    seen = filled.alpha > 0
    near = cv2.dilate(seen.astype(np.uint8), np.ones((5, 5))) > 0
    np.testing.assert_array_equal(filled.pixels[seen], frame.pixels[seen])
    assert np.abs(filled.pixels - ramp)[near].max() < 8 / 255 * ramp.max()
    plain = Frame(frame.pixels)
    assert fill_hidden(plain) is plain
    nothing = Frame(frame.pixels, np.zeros_like(frame.alpha))  # pyright: ignore[reportArgumentType]
    assert fill_hidden(nothing) is nothing


@DTYPES
@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_denoised_edges_keep_their_colour_and_hidden_pixels_theirs(dtype: str, colour: float) -> None:
    frame, ramp = cut_out(dtype, colour)
    result = process(frame, Fake(lambda tile: np.stack([cv2.blur(plane, (9, 9)) for plane in tile[0]])[None]))
    assert frame.alpha is not None
    seen = frame.alpha > 0
    assert np.abs(result.pixels - ramp)[seen].max() < 4 / 255 * ramp.max()
    np.testing.assert_array_equal(result.pixels[~seen], frame.pixels[~seen])
    np.testing.assert_array_equal(result.alpha, frame.alpha)


def test_enlarged_edges_keep_their_colour() -> None:
    spec = PipelineSpec(task="shuffle", scale=2, multiple=2, halo=4, working_bytes=100)
    frame, _ = cut_out()
    result = process(frame, Fake(lambda tile: tile.repeat(2, 2).repeat(2, 3), spec))
    assert result.alpha is not None
    wanted = cv2.resize(cut_out()[1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert np.abs(result.pixels - wanted)[result.alpha > 0].max() < 4

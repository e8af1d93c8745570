"""The blend of a result: how much of the change, in luma and in chroma."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nsp_cli.engine.blending import Blend, residual_picture, scale_change
from nsp_cli.errors import UsageError
from nsp_cli.image.luma import luma

CHANGE: NDArray[np.float32] = np.random.default_rng(0).normal(0, 0.1, (30, 20, 3)).astype(np.float32)


def chroma(change: NDArray[np.float32]) -> NDArray[np.float32]:
    return change - luma(change)[..., None]


@pytest.mark.parametrize("strength", [0, 12.5, 33, 70, 100])
def test_the_defaults_scale_and_nothing_else_bit_for_bit(strength: float) -> None:
    assert np.array_equal(scale_change(CHANGE, Blend(strength)), np.float32(strength / 100) * CHANGE)


def test_luma_alone_leaves_chroma_and_chroma_alone_leaves_luma() -> None:
    brightness = scale_change(CHANGE, Blend(luma=100, chroma=0))
    assert np.allclose(chroma(brightness), 0, atol=1e-6)
    assert np.allclose(luma(brightness), luma(CHANGE), atol=1e-6)
    colour = scale_change(CHANGE, Blend(luma=0, chroma=100))
    assert np.allclose(luma(colour), 0, atol=1e-6)
    assert np.allclose(chroma(colour), chroma(CHANGE), atol=1e-6)
    assert np.allclose(brightness + colour, CHANGE, atol=1e-6)


@pytest.mark.parametrize("name", ["strength", "luma", "chroma"])
def test_more_changes_more(name: str) -> None:
    part = chroma if name == "chroma" else luma
    others = {"luma": 60.0, "chroma": 45.0}
    sizes = [np.abs(part(scale_change(CHANGE, Blend(**{**others, name: float(x)})))).mean() for x in range(0, 101, 10)]
    assert (np.diff(sizes) > 0).all()


def test_grey_has_luma_only() -> None:
    grey = CHANGE[..., :1]
    for share in (0, 40, 100):
        assert np.array_equal(scale_change(grey, Blend(luma=50, chroma=share)), np.float32(0.5) * grey)


@pytest.mark.parametrize(
    ("blend", "colour", "grey"),
    [
        (Blend(), False, False),
        (Blend(strength=0), True, True),
        (Blend(luma=0, chroma=0), True, True),
        (Blend(luma=0), False, True),
        (Blend(chroma=0), False, False),
    ],
)
def test_what_is_the_identity(blend: Blend, colour: bool, grey: bool) -> None:
    assert blend.is_identity(3) is colour
    assert blend.is_identity(1) is grey
    assert np.any(scale_change(CHANGE, blend)) != colour
    assert np.any(scale_change(CHANGE[..., :1], blend)) != grey


@pytest.mark.parametrize("name", ["strength", "luma", "chroma"])
@pytest.mark.parametrize("value", [-1, 101, float("nan"), float("inf")])
def test_values_out_of_range_are_usage_errors_that_name_the_parameter(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"`{name}`"):
        Blend(**{name: value})


def test_a_residual_picture_shows_the_change_around_middle_grey() -> None:
    before = np.full(CHANGE.shape, 0.5, np.float32)
    picture, factor = residual_picture(before, before + CHANGE)
    assert factor == 1
    assert np.abs(picture / 255 - np.clip(0.5 + CHANGE, 0, 1)).max() < 0.003
    _, factor = residual_picture(before, before + CHANGE / 16)
    assert factor == 16
    same, factor = residual_picture(before, before)
    assert factor == 64
    assert (same == 128).all()

"""`--strength auto`: from a photo's noise to its strength."""

import numpy as np
import pytest

from nsp_cli.errors import UsageError
from nsp_cli.noise import NoiseEstimate
from nsp_cli.ops.blend import Looks
from nsp_cli.sample import sample_picture
from nsp_cli.simulation import white_noise
from nsp_cli.strength import BLUR, Wanted, auto_strength


def test_the_mapping_grows_from_nothing_to_everything() -> None:
    levels = [0, 0.5, 1, 2, 4, 8, 16, 60]
    found = [auto_strength(NoiseEstimate(luma=level)) for level in levels]
    assert found[0] == 0
    assert (np.diff(found) > 0).all()
    assert 97 < found[-1] <= 100
    assert auto_strength(NoiseEstimate(luma=BLUR)) == pytest.approx(50)


def test_auto_measures_and_a_number_does_not() -> None:
    clean = sample_picture(128, 160, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    little, much = (Wanted("auto", 70, 30).choose(white_noise(clean, s / 255, rng)) for s in (2, 25))
    assert little.noise is not None
    assert much.noise is not None
    assert little.looks.strength < much.looks.strength
    assert (much.looks.luma, much.looks.chroma) == (70, 30)
    assert f"strength {much.looks.strength:.0f}" in much.sentence()
    given = Wanted(40.0).choose(clean)
    assert given.looks == Looks(40)
    assert given.noise is None
    assert given.sentence() == ""


@pytest.mark.parametrize("wrong", [Looks, Wanted])
def test_values_out_of_range_are_refused_before_any_photo_is_read(wrong: type) -> None:
    with pytest.raises(UsageError, match="--strength"):
        wrong(101)
    with pytest.raises(UsageError, match="--luma"):
        wrong(50, 200)


def test_a_tiny_photo_stays_as_it_is() -> None:
    assert Wanted("auto").choose(np.full((1, 1, 3), 9, np.uint8)).looks.strength == 0

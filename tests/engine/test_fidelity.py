"""Results whose colours or border are not those of the photo are refused; good ones are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nsp_cli import api
from nsp_cli.engine.backends.base import PIPELINE_KEY
from nsp_cli.engine.fidelity import check_fidelity, shifts
from nsp_cli.errors import OutputError
from nsp_cli.image import Frame, read, to_unit, write
from nsp_cli.image.frame import Pixels, from_unit
from nsp_cli.model.spec import PipelineSpec, Task
from nsp_cli.simulation.camera import Camera, simulate
from nsp_cli.simulation.scene import sample_picture
from tests.cli.test_commands import run


@pytest.fixture(scope="module")
def photo() -> Pixels:
    """A painted scene with a camera's noise of 5 of 255."""
    rng = np.random.default_rng(4)
    return from_unit(simulate(sample_picture(256, 320, rng), Camera(shot_gain=1e-3), rng)[0], np.uint8)


def _shifted(pixels: Pixels, *levels: float) -> Pixels:
    return from_unit(to_unit(pixels) + np.float32(levels) / 255, pixels.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("levels", [(4, 0, 0), (0, -4, 0), (0, 0, 4)])
def test_a_shift_of_four_levels_is_refused_in_any_depth(photo: Pixels, levels: tuple[int, ...], dtype: type) -> None:
    before = from_unit(to_unit(photo), dtype)
    after = _shifted(before, *levels)
    with pytest.raises(OutputError, match=r"shifts a colour of the photo by (3\.9|4\.\d) of 255 in flat areas"):
        check_fidelity(before, after)
    check_fidelity(before, _shifted(before, *np.divide(levels, 2)))


@pytest.mark.parametrize("model", ["fast", "best"])
@pytest.mark.slow
def test_models_that_ship_are_not_refused(photo: Pixels, model: str) -> None:
    backend = api.load_backend(model)
    rng = np.random.default_rng(0)
    crop = photo[:144, :192]
    for sigma in (0, 8, 24):
        noisy = from_unit((to_unit(crop) + rng.normal(0, sigma / 255, crop.shape)).astype(np.float32), np.uint8)
        result = api.denoise(noisy, backend=backend)
        check_fidelity(noisy, result)
        if sigma < 24:
            with pytest.raises(OutputError):
                check_fidelity(noisy, _shifted(result, 0, 16, 0))


def test_a_result_that_is_enlarged(photo: Pixels) -> None:
    large = photo.repeat(2, 0).repeat(2, 1)
    check_fidelity(photo, large)
    with pytest.raises(OutputError, match="in flat areas"):
        check_fidelity(photo, _shifted(large, 4, 0, 0))


@pytest.mark.parametrize(
    ("side", "where"),
    [
        ("top", np.s_[:4]),
        ("bottom", np.s_[-4:]),
        ("left", np.s_[:, :4]),
        ("right", np.s_[:, -4:]),
    ],
)
def test_a_border_that_has_changed_is_refused(photo: Pixels, side: str, where: tuple[slice, ...]) -> None:
    result = np.maximum(photo, 40)
    before = result.copy()
    result[where] -= 16  # as zeros around the photo would darken it
    with pytest.raises(OutputError, match=f"along its {side} border"):
        check_fidelity(before, result)


def test_noise_that_loses_its_mean_is_no_shift() -> None:
    """Clipped at black before the photo is brightened, as cameras do."""
    rng = np.random.default_rng(0)
    clean = np.full((160, 160, 3), 0.02, np.float32)
    noisy = 0.1 + np.maximum(clean + rng.normal(0, 0.03, clean.shape), 0)
    before, after = (from_unit(values.astype(np.float32), np.uint8) for values in (noisy, 0.1 + clean))
    assert 255 * np.abs(shifts(before, after)["in flat areas"].mean).max() > 0.7
    check_fidelity(before, after)


def test_what_cannot_be_measured_is_not_refused() -> None:
    for size in [(1, 1, 3), (3, 200, 1), (17, 40, 3), (64, 64, 1)]:
        black = np.zeros(size, np.uint8)
        check_fidelity(black, black + np.uint8(9))  # clipped


def test_shape_and_values(photo: Pixels) -> None:
    with pytest.raises(OutputError, match="does not fit"):
        check_fidelity(photo, photo[:-1])
    broken = to_unit(photo)
    broken[100, 3, 1] = np.nan
    with pytest.raises(OutputError, match="not finite"):
        check_fidelity(to_unit(photo), broken)


def test_colours_are_compared_in_srgb(photo: Pixels) -> None:
    """In a linear photo 4 levels of sRGB are a small step in the dark."""
    dark = to_unit(photo) * np.float32(0.4) + np.float32(0.05)
    linear, shifted = ((values**2.2).astype(np.float32) for values in (dark, dark + np.float32(5 / 255)))
    check_fidelity(linear, shifted)
    with pytest.raises(OutputError, match="in flat areas"):
        check_fidelity(linear, shifted, lambda values: values ** np.float32(1 / 2.2))


def _model(target: Path, shift: float) -> Path:
    """An ONNX model that adds to the green channel, and does nothing else."""
    added = numpy_helper.from_array(np.float32([0, shift, 0]).reshape(1, 3, 1, 1), "added")
    shape = [1, 3, "height", "width"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("photo", "result")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["photo", "added"], ["result"])], "shift", ends[:1], ends[1:], [added]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    spec = PipelineSpec(Task.DENOISE, scale=1, multiple=1, halo=0, working_bytes=100)
    helper.set_model_props(model, {PIPELINE_KEY: spec.to_json()})
    onnx.save(model, target)
    return target


def test_the_command_writes_nothing(
    photo: Pixels, tmp_path: Path, weights: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NSP_NO_FIDELITY_CHECK")
    write(Frame(photo), tmp_path / "in.png")
    bad, good = _model(tmp_path / "bad.onnx", 4 / 255), _model(tmp_path / "good.onnx", 0)
    out = tmp_path / "out.png"
    code, said = run("denoise", tmp_path / "in.png", out, "-m", bad)
    assert code == 1
    assert said.count("error:") == 1
    assert "in.png: The model shifts a colour of the photo by 4.0 of 255 in flat areas, so nothing was written" in said
    assert "a lower --strength, or switch off this check (--no-fidelity-check)" in said
    assert not out.exists()
    before = (tmp_path / "in.png").read_bytes()
    assert run("denoise", "--in-place", tmp_path / "in.png", "-m", bad)[0] == 1
    assert (tmp_path / "in.png").read_bytes() == before
    assert run("denoise", tmp_path / "in.png", out, "-m", bad, "--no-fidelity-check")[0] == 0
    assert np.mean(read(out).pixels[..., 1].astype(int) - photo[..., 1]) > 3
    assert run("denoise", tmp_path / "in.png", tmp_path / "good.png", "-m", good)[0] == 0

"""Teachers run in several variants, once for each photo, and a run identifies them by their content."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from nsp_cli.api import load_backend
from nsp_cli.engine.backends import interruptible
from nsp_cli.engine.process import process
from nsp_cli.errors import ModelError, UsageError
from nsp_cli.image import Frame, read, read_srgb, write
from nsp_cli.model.checkpoint import load_model, load_tensors, save_model
from nsp_cli.model.spec import ModelSpec
from nsp_cli.networks import build_network
from nsp_cli.ops.orientations import array_to_upright, orient_array
from nsp_cli.training import Job, TrainConfig, has_run, teachers, train
from nsp_cli.training.cache import OutputCache
from nsp_cli.training.data import StepBatches
from nsp_cli.training.teachers import Teacher, TeacherInterrupt, TeacherTargets, Variant, find_teacher

Weights = Callable[..., Path]

STUDENT = TrainConfig(
    method="rd",
    network="unet",
    network_args={"width": 4, "levels": 2},
    steps=2,
    batch=2,
    patch=32,
    save_every=2,
    precision="fp32",
    teacher_views=2,
)


def targets_of(cache: Path, *taught: Teacher) -> TeacherTargets:
    return TeacherTargets(taught, OutputCache(cache, 10**8), read_srgb, "cpu")


def shifting_weights(path: Path) -> Path:
    """Tiny weights of a method that has a blind shift."""
    torch.manual_seed(0)
    arguments = {"width": 4, "levels": 1, "blind_spot_size": 5}
    save_model(build_network("atbsn", arguments), ModelSpec("atbsn", arguments, "apr", {}), path)
    return path


def job(photos: Path, target: Path, **changes: object) -> Job:
    given = {"photos": sorted(photos.iterdir()), "target": target, "folder": target.with_suffix(".run")}
    return Job(**{**given, "device": "cpu", **changes})


def test_the_eight_turns_differ_and_turn_back() -> None:
    photo = np.random.default_rng(0).random((4, 6, 3), np.float32)
    seen = [orient_array(photo, turn) for turn in range(8)]
    assert len({(pixels.shape, pixels.tobytes()) for pixels in seen}) == 8
    assert all(np.array_equal(array_to_upright(pixels, turn), photo) for turn, pixels in enumerate(seen))


def test_a_teacher_s_own_views_come_first_and_then_their_turns(weights: Weights, tmp_path: Path) -> None:
    phases = [Variant({"phase": phase}, 0) for phase in range(4)]
    own = find_teacher(str(weights()), 0)
    assert list(own.variants) == phases
    assert find_teacher(str(weights()), 6).variants[4:] == (Variant({"phase": 0}, 1), Variant({"phase": 1}, 1))
    shifts = find_teacher(str(shifting_weights(tmp_path / "shifting.safetensors")), 0)
    assert [dict(view.settings) for view in shifts.variants] == [{"test_shift": k} for k in range(6)]
    with pytest.raises(UsageError, match=r"`teacher_views` for tiny\.safetensors must be from 0 to 32, got 33"):
        find_teacher(str(weights()), 33)
    with pytest.raises(ModelError, match="no model at"):
        find_teacher(str(tmp_path / "missing.safetensors"), 0)


def test_a_teacher_of_one_view_is_turned(tmp_path: Path) -> None:
    arguments = {"width": 4, "levels": 2}
    save_model(build_network("unet", arguments), ModelSpec("unet", arguments, "rd", {}), tmp_path / "plain.safetensors")
    assert find_teacher(str(tmp_path / "plain.safetensors"), 0).variants == tuple(
        Variant({}, turn) for turn in range(4)
    )


def test_a_layer_is_what_the_teacher_makes_of_the_photo(weights: Weights, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, (41, 30, 3), np.uint16)
    write(Frame(pixels), tmp_path / "photo.png")
    backend = load_backend(weights(), device="cpu", settings={"phase": 2})
    for turn in (0, 5):
        taught = Teacher(weights(), "tiny", (Variant({"phase": 2}, turn),))
        photo, layer = targets_of(tmp_path / "kept", taught)(tmp_path / "photo.png")
        assert np.array_equal(photo, pixels)
        expected = process(Frame(np.ascontiguousarray(orient_array(pixels, turn))), backend).pixels
        assert np.array_equal(layer, array_to_upright(expected, turn))
        assert layer.dtype == np.uint16


def test_a_photo_is_taught_once(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    taught = find_teacher(str(weights()), 0)
    first = targets_of(tmp_path / "kept", taught)(noisy_photos / "0.png")
    (noisy_photos / "0.png").rename(noisy_photos / "renamed.png")  # the content counts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "process", None)  # would raise if a teacher were asked
        again = targets_of(tmp_path / "kept", taught)(noisy_photos / "renamed.png")
        with pytest.raises(TypeError):
            targets_of(tmp_path / "kept", taught)(noisy_photos / "1.png")
        with pytest.raises(TypeError):
            targets_of(tmp_path / "kept", replace(taught, sha256="another"))(noisy_photos / "renamed.png")
    assert len(first) == 5
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_crops_cut_all_layers_at_the_same_place(noisy_photos: Path) -> None:
    def with_itself(path: Path) -> tuple[np.ndarray, ...]:
        pixels = read(path).pixels
        return pixels, 255 - pixels, pixels[:, :, :1]

    data = StepBatches(
        sorted(noisy_photos.iterdir()), patch=32, batch=4, steps=3, seed=1, cache_bytes=10**8, open=with_itself
    )
    for part in (data, data.shard(1, 2)):
        batch = part[1]
        assert batch.shape[1:] == (9, 32, 32)
        assert torch.allclose(batch[:, 3:6], 1 - batch[:, :3], atol=1e-6)
        assert torch.equal(batch[:, 6:], batch[:, :1].expand(-1, 3, -1, -1))


def test_weights_name_their_teachers_by_content_and_not_by_place(
    weights: Weights, noisy_photos: Path, tmp_path: Path
) -> None:
    settings = replace(STUDENT, teachers=(str(weights()),))
    train(settings, job(noisy_photos, tmp_path / "student.safetensors"))
    spec = load_model(tmp_path / "student.safetensors")[1]
    (taught_by,) = spec.training["teachers"]
    assert (taught_by["file"], len(taught_by["sha256"]), taught_by["views"]) == ("tiny.safetensors", 64, 2)
    assert str(tmp_path) not in spec.to_json()


@pytest.mark.parametrize("outputs", [0, 3, 7])  # of ten: in those of the one validation photo, and in later ones
def test_a_stop_while_a_teacher_runs_ends_at_once_and_can_be_resumed(
    weights: Weights, noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: int
) -> None:
    settings = replace(STUDENT, teachers=(str(weights()),))
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    monkeypatch.setenv("NSP_HOME", str(tmp_path / "first"))
    train(settings, job(noisy_photos, whole))
    needed = len(list((tmp_path / "first" / "teachers").iterdir()))
    assert needed == 10
    monkeypatch.setenv("NSP_HOME", str(tmp_path / "second"))
    cache = tmp_path / "second" / "teachers"
    train(settings, job(noisy_photos, broken, stop=lambda: outputs == 0 or len(list(cache.glob("*"))) == outputs))
    assert (len(list(cache.glob("*"))), has_run(tmp_path / "broken.run")) == (outputs, True)
    counted = Mock(wraps=process)
    monkeypatch.setattr(teachers, "process", counted)
    train(settings, job(noisy_photos, broken, resume=True))
    assert counted.call_count == needed - outputs  # what is cached is not computed again
    first, second = load_tensors(whole)[0], load_tensors(broken)[0]
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("teacher", ["tiny", "fast"])  # by torch, and a graph
def test_a_stop_does_not_wait_for_the_end_of_a_tile(
    weights: Weights, noisy_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str
) -> None:
    calls: list[str] = []

    def stop() -> bool:
        calls.append("".join(frame.name for frame in traceback.extract_stack()))
        return len(calls) == 2  # the first call is before the teacher is loaded

    targets = replace(
        targets_of(tmp_path, find_teacher(str(weights() if teacher == "tiny" else teacher), 0)), stop=stop
    )
    monkeypatch.setattr(interruptible, "_PAUSE", 1e-6)
    with pytest.raises(TeacherInterrupt):
        targets(noisy_photos / "0.png")
    assert "_run" in calls[1]  # within a tile


def test_a_changed_teacher_ends_a_resumed_run(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    settings = replace(STUDENT, teachers=(str(weights()),))
    target = tmp_path / "student.safetensors"
    train(settings, job(noisy_photos, target))
    train(settings, job(noisy_photos, target, resume=True))
    network, spec = load_model(weights())
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
    save_model(network, spec, tmp_path / "tiny.safetensors")
    with pytest.raises(ModelError, match="teacher's file has changed"):
        train(settings, job(noisy_photos, target, resume=True))


def test_a_method_has_teachers_or_has_none(weights: Weights, noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "student.safetensors"
    with pytest.raises(
        UsageError, match="'rd' trains on the outputs of other models; name one or more with `teachers`"
    ):
        train(STUDENT, job(noisy_photos, target))
    alone = replace(STUDENT, method="nsp", network="dbsn", network_args={}, patch=64, teachers=(str(weights()),))
    with pytest.raises(UsageError, match="'nsp' trains on photos alone; leave out `teachers`"):
        train(alone, job(noisy_photos, target))
    with pytest.raises(UsageError, match="two targets at least"):
        train(replace(STUDENT, teachers=(str(weights()),), teacher_views=1), job(noisy_photos, target))

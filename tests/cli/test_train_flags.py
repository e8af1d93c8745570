"""`nsp train`: every method by one command, distillation end to end, and one sentence for flags that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import call

import numpy as np
import pytest
import torch

from nsp_cli.cli.commands.train_config import parse_set, resolve_config
from nsp_cli.errors import UsageError
from nsp_cli.image import read
from nsp_cli.methods import METHODS
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.spec import ModelSpec, Task
from nsp_cli.networks import NETWORKS, build_network
from nsp_cli.training import PRESETS
from tests.cli.test_commands import run

Weights = Callable[..., Path]

SHORT = "--steps 2 --batch 1 --patch 72 --device cpu".split()


@pytest.fixture
def shifting(tmp_path: Path) -> Path:
    """Tiny weights that have a blind spot to choose."""
    torch.manual_seed(0)
    arguments = {"width": 4, "levels": 1, "blind_spot_size": 5}
    path = tmp_path / "shifting.safetensors"
    save_model(build_network("atbsn", arguments), ModelSpec("atbsn", arguments, "apr", {}), path)
    return path


def test_a_teacher_is_trained_and_distilled_and_the_student_denoises(noisy_photos: Path, tmp_path: Path) -> None:
    teacher, student = tmp_path / "teacher.safetensors", tmp_path / "student.safetensors"
    assert run("train", noisy_photos, "-o", teacher, "--width", 8, "--depth", 1, *SHORT)[0] == 0
    distil = ["--method", "rd", "--teacher", teacher, "--teacher", teacher, "--teacher-views", 3, *SHORT]
    network = ["--network", "unet", "--width", 6, "--set", "levels=2"]
    assert run("train", noisy_photos, "-o", student, *distil, *network)[0] == 0
    spec = load_model(student)[1]
    assert (spec.method, spec.network, spec.network_args) == ("rd", "unet", {"width": 6, "levels": 2})
    assert [taught["views"] for taught in spec.training["teachers"]] == [3, 3]
    assert run("train", noisy_photos, "-o", student, "--resume")[0] == 0
    assert run("denoise", noisy_photos / "0.png", tmp_path / "out.png", "-m", student)[0] == 0
    assert read(tmp_path / "out.png").size == read(noisy_photos / "0.png").size
    teacher.unlink()
    code, said = run("train", noisy_photos, "-o", student, "--resume")
    assert (code, "There is no model at" in said) == (4, True)


def test_flags_about_teachers_that_do_not_fit(noisy_photos: Path, weights: Weights, tmp_path: Path) -> None:
    new = ["train", noisy_photos, "-o", tmp_path / "new.safetensors", *SHORT]
    code, said = run(*new, "--method", "rd")
    assert (code, "name one or more with --teacher" in said) == (2, True)
    code, said = run(*new, "--method", "nsp", "--patch", 240, "--teacher", weights())
    assert (code, "leave out --teacher" in said) == (2, True)
    code, said = run(*new, "--method", "rd", "--teacher", tmp_path / "gone.safetensors")
    assert (code, "There is no model at" in said) == (4, True)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("preset", ["photographer", "paper"])
def test_every_preset_settles_into_settings_that_build(method: str, preset: str) -> None:
    if preset not in PRESETS[method]:
        pytest.skip("is published nowhere")
    settings, begin = resolve_config(method, preset, "scratch")
    assert begin is None
    with torch.device("meta"):
        prescribed = METHODS[method](**settings.method_args).network_args
        assert build_network(settings.network, {**settings.network_args, **prescribed}) is not None


def test_values_go_to_the_method_or_else_to_the_network() -> None:
    own = {"balance": 1, "levels": 3, "test_shift": 1}
    settings, _ = resolve_config("apr", arguments=own)
    assert settings.method_args == {
        "margin": 16,
        "balance": 1,
        "test_shift": 1,
    }  # the network's own hole is the method's to decide
    assert settings.network_args == {"width": 16, "residual": True, "levels": 3}
    assert "blind_spot_size" not in settings.network_args


def test_the_coarse_chroma_is_a_setting_of_the_plain_denoiser() -> None:
    settings, begin = resolve_config(arguments={"coarse_chroma": True})
    assert begin is not None
    assert (begin.stem, settings.method, settings.method_args["coarse_chroma"]) == ("fast", "simulated", True)


def test_another_network_starts_from_its_own_arguments() -> None:
    settings, begin = resolve_config(network="atbsn", arguments={"width": 12})
    assert begin is None
    assert (settings.method, settings.network, settings.network_args) == ("nsp", "atbsn", {"width": 12})


def test_a_network_that_the_method_does_not_train_is_refused_at_once(weights: Weights) -> None:
    for resolve, fits in (
        (lambda: resolve_config("apbsn", network="resunet"), "`network=dbsn`"),
        (lambda: resolve_config("amsnet", start=str(weights())), "`network=unet`"),
    ):
        with pytest.raises(UsageError, match=fits):
            resolve()


def test_weights_are_gone_on_from_with_their_method_or_another(weights: Weights, shifting: Path) -> None:
    same, begin = resolve_config(start=str(shifting))
    assert begin == shifting
    assert (same.method, same.network, same.network_args) == ("apr", "atbsn", {"width": 4, "levels": 1})
    assert same.lr == pytest.approx(PRESETS["apr"]["photographer"].lr / 3)
    nsp = PRESETS["nsp"]["photographer"]
    other, _ = resolve_config("nsp", start=str(weights(inputs=3)))
    assert (other.network_args["width"], other.method_args, other.patch) == (8, nsp.method_args, nsp.patch)
    own, _ = resolve_config(start=str(weights(inputs=3)))
    assert own.method_args == {"strategy": "canonical", "canonical_grids": 3}


def test_a_later_stage_starts_from_weights_with_its_own_learning_rate(weights: Weights, tmp_path: Path) -> None:
    arguments = {"width": 8, "depth": 1, "scale": 1, "variant": "apbsn"}
    first = tmp_path / "first.safetensors"
    save_model(build_network("dbsn", arguments), ModelSpec("dbsn", arguments, "sdap", {"inputs": 3}), first)
    settings, begin = resolve_config("sdap", "paper-finetune", str(first))
    stage = PRESETS["sdap"]["paper-finetune"]
    assert begin == first
    assert (settings.lr, settings.method_args) == (stage.lr, stage.method_args) == (1e-5, settings.method_args)
    assert settings.network_args["width"] == 8
    with pytest.raises(UsageError, match="name its weights with --from"):
        resolve_config("sdap", "paper-finetune")


def test_the_weights_that_ship_are_the_start_unless_the_network_changes() -> None:
    settings, begin = resolve_config()
    assert begin == registry.resolve(registry.PLAIN)
    assert settings.method == load_model(begin)[1].method
    settings, begin = resolve_config(arguments={"inputs": 2})
    assert begin == registry.resolve(None, Task.SHUFFLE)
    assert (settings.method, settings.method_args["canonical_grids"]) == ("nsp", 2)
    settings, begin = resolve_config(arguments={"neutral_isp_prob": 0})
    assert begin == registry.resolve(registry.PLAIN)
    assert (settings.method, settings.method_args["neutral_isp_prob"]) == ("simulated", 0)
    for changed in (call(arguments={"width": 8}), call("nsp"), call(preset="paper"), call(network="atbsn")):
        assert resolve_config(*changed.args, **changed.kwargs)[1] is None


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            call("apr", arguments={"strategy": "random"}),
            "the method apr has train_shift, test_shift, balance, neighbours, margin, and the network atbsn",
        ),
        (call("rd", arguments={"channels": 1}), "There is no setting 'channels'"),
        (call("apr", arguments={"train_shift": "wide"}), "'train_shift' takes a value like 5, got \"wide\""),
        (call("apr", arguments={"train_shift": True}), "'train_shift' takes a value like 5, got true"),
        (call("rd", arguments={"recharge": 1}), "'recharge' takes a value like true, got 1"),
        (call("nsp", arguments={"canonical_strides": ["a"]}), "takes a value like"),
        (call("nsp", arguments={"width": 0}), "got 0; it must be a whole number from 1 to 1024"),
        (call("nsp", arguments={"scale": -1}), "got -1; it must be a whole number from 1 to 8"),
        (call("simulated", arguments={"cameras": [{"foo": 1}]}), "there is no 'foo'"),
        (
            call("simulated", arguments={"cameras": [{"lens": "wide"}]}),
            "lens must be a number from 0 to 64, got 'wide'",
        ),
        (call("simulated", arguments={"cameras": 3}), "it must be a list, each entry"),
        (call("nsp", arguments={"stride": 4}), "choose them with --strategy consecutive"),
        (call("n2v"), "`method` must be one of"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(choices: Any, said: str) -> None:
    with pytest.raises(UsageError) as error:
        resolve_config(*choices.args, **choices.kwargs)
    assert said in str(error.value)


def test_values_are_json_or_else_text() -> None:
    pairs = ["levels=3", "widths=[8, 16]", "recharge=false", "strategy=random", "canonical-strides=[2]"]
    assert parse_set(pairs) == {
        "levels": 3,
        "widths": [8, 16],
        "recharge": False,
        "strategy": "random",
        "canonical_strides": [2],
    }
    for wrong in ("levels", "=3"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            parse_set([wrong])


def test_help_names_every_method_and_network() -> None:
    text = " ".join(run("train", "--help")[1].replace("│", " ").split())
    assert all(name in text for name in (*METHODS, *NETWORKS))
    assert "paper (as published: float32, all photos)" in text
    assert "rd (on outputs of --teacher models), or simulated (on clean photos)" in text
    assert "{" not in text


def test_the_methods_are_listed_with_their_presets() -> None:
    code, said = run("train", "--method", "list")
    assert code == 0
    assert all(f"{name}: " in said for name in METHODS)
    assert said.count("--preset ") == sum(map(len, PRESETS.values()))


@pytest.mark.slow
def test_the_blind_spot_is_chosen_at_run_time(
    shifting: Path, weights: Weights, noisy_photos: Path, tmp_path: Path
) -> None:
    photo = noisy_photos / "0.png"

    def denoised(*arguments: object) -> np.ndarray:
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        assert run("denoise", photo, out, *arguments, "--precision", "fp32", "--device", "cpu")[0] == 0
        return read(out).pixels

    usual, two, nought = (
        denoised("-m", shifting),
        denoised("-m", shifting, "--blind", 2),
        denoised("-m", shifting, "--blind", 0),
    )
    assert np.array_equal(usual, two)
    assert not np.array_equal(two, nought)
    assert run("export", tmp_path / "nought.onnx", "-m", shifting, "--blind", 0)[0] == 0
    exported = denoised("-m", tmp_path / "nought.onnx")
    assert np.abs(exported.astype(int) - nought).max() <= 1
    lines = run("denoise", photo, tmp_path / "said.png", "-m", shifting, "--blind", 1, "--json")[1]
    assert json.loads(lines.splitlines()[-1])["settings"]["blind"] == 1
    code, said = run("denoise", photo, tmp_path / "no.png", "-m", weights(), "--blind", 1)
    assert (code, said) == (2, "The model tiny.safetensors has no blind spot to choose.")
    code, said = run("denoise", photo, tmp_path / "no.png", "-m", tmp_path / "nought.onnx", "--blind", 1)
    assert (code, "fixed when it was exported; export it again" in said) == (2, True)
    assert run("denoise", photo, tmp_path / "no.png", "-m", shifting, "--blind", 6)[0] == 2

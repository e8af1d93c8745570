"""Training: the loss falls, an interrupted run ends like an unbroken one, and several processes agree."""

import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nsp_cli.errors import ModelError, NspError, OutputError, UsageError
from nsp_cli.image import read
from nsp_cli.methods import build_method
from nsp_cli.model.checkpoint import load_model, load_tensors, save_model
from nsp_cli.model.spec import ModelSpec, Task
from nsp_cli.networks import build_network
from nsp_cli.system.processes import ProcessInfo
from nsp_cli.training import PRESETS, Job, Progress, TrainConfig, saved_settings, train
from nsp_cli.training.distributed import wrap
from nsp_cli.training.state import learning_rate

TINY = TrainConfig(
    method_args={"strategy": "canonical", "canonical_strides": (2,), "inputs": 1},
    network_args={"width": 8, "depth": 1, "residual": True},
    steps=6,
    batch=2,
    patch=48,
    warmup=1,
    save_every=3,
    precision="fp32",
)


def job(photos: Path, target: Path, **changes: object) -> Job:
    defaults = {"photos": sorted(photos.iterdir()), "target": target, "folder": target.with_suffix(".run")}
    return Job(**{**defaults, "device": "cpu", **changes})


def same(a: Path, b: Path) -> bool:
    first, second = load_tensors(a)[0], load_tensors(b)[0]
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adam", "ema": 0.0, "schedule": "constant", "clip": 0.0}, {"optimizer": "muon"}],
)
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    noisy_photos: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = replace(TINY, **changes)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(settings, job(noisy_photos, whole))
    calls = iter([False, False, False, False, True])
    train(settings, job(noisy_photos, broken, stop=lambda: next(calls)))
    state = load_tensors(tmp_path / "broken.run" / "state.safetensors")[1]
    assert state["step"] == "4"
    assert not same(whole, broken)
    assert saved_settings(tmp_path / "broken.run").steps == 6
    train(saved_settings(tmp_path / "broken.run"), job(noisy_photos, broken, resume=True))
    assert same(whole, broken)


def test_the_loss_falls_on_simulated_noise(noisy_photos: Path, tmp_path: Path) -> None:
    settings = replace(
        TINY, steps=201, lr=5e-3, save_every=1000, network_args={"width": 16, "depth": 1, "residual": True}
    )
    steps: list[int] = []

    def report(progress: Progress) -> None:
        steps.append(progress.step)

    train(settings, job(noisy_photos, tmp_path / "w.safetensors", report=report))
    assert steps == [1, *range(20, 201, 20)]
    train(replace(settings, steps=1, lr=1e-9), job(noisy_photos, tmp_path / "s.safetensors"))
    assert held_out(tmp_path / "w.run") < 0.9 * held_out(tmp_path / "s.run")


def held_out(folder: Path) -> float:
    return scalars(folder)["loss/held-out"][-1]


def scalars(folder: Path) -> dict[str, list[float]]:
    """Everything that the run wrote for TensorBoard: length-prefixed events between two checksums each."""
    from tensorboardX.proto.event_pb2 import Event

    values: dict[str, list[float]] = {}
    for file in sorted(folder.glob("events.*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            for value in Event.FromString(data[at + 12 : at + 12 + length]).summary.value:
                values.setdefault(value.tag, []).append(value.simple_value)
            at += length + 16
    return values


def test_weights_carry_their_recipe(noisy_photos: Path, tmp_path: Path) -> None:
    train(replace(TINY, steps=1), job(noisy_photos, tmp_path / "w.safetensors"))
    network, spec = load_model(tmp_path / "w.safetensors")
    assert spec.method == "nsp"
    assert spec.method_args["strategy"] == "canonical"
    assert spec.training["steps"] == 1
    assert spec.training["photos"] == 4  # the fifth is held out
    assert network.scale == 2


def test_fine_tuning_starts_from_the_weights_it_is_given(noisy_photos: Path, tmp_path: Path) -> None:
    first = train(replace(TINY, steps=3), job(noisy_photos, tmp_path / "first.safetensors"))
    slow = replace(TINY, steps=1, lr=1e-12, weight_decay=0.0, ema=0.0, seed=5)
    train(slow, job(noisy_photos, tmp_path / "next.safetensors", start=first))
    a, b = load_tensors(first)[0], load_tensors(tmp_path / "next.safetensors")[0]
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    wide = replace(TINY, network_args={"width": 16, "depth": 1})
    with pytest.raises(ModelError, match="another network"):
        train(wide, job(noisy_photos, tmp_path / "wide.safetensors", start=first))


def test_a_share_of_the_start_is_kept(noisy_photos: Path, tmp_path: Path) -> None:
    """And a run that was stopped knows it still."""
    start, pure, kept, broken = (tmp_path / f"{name}.safetensors" for name in ("start", "pure", "kept", "broken"))
    train(TINY, job(noisy_photos, start))
    settings = replace(TINY, lr=1e-2, seed=1)
    train(settings, job(noisy_photos, pure, start=start))
    train(replace(settings, keep=0.25), job(noisy_photos, kept, start=start))
    first, learned, mixed = (load_tensors(path)[0] for path in (start, pure, kept))
    for name, weight in mixed.items():
        torch.testing.assert_close(weight, 0.25 * first[name] + 0.75 * learned[name])
    calls = iter([False, False, False, False, True])
    train(replace(settings, keep=0.25), job(noisy_photos, broken, start=start, stop=lambda: next(calls)))
    train(saved_settings(tmp_path / "broken.run"), job(noisy_photos, broken, resume=True))
    assert same(kept, broken)
    with pytest.raises(UsageError, match="weights to start from, and there are none"):
        train(replace(TINY, keep=0.5), job(noisy_photos, tmp_path / "new.safetensors"))
    with pytest.raises(UsageError, match="`keep` must be"):
        replace(TINY, keep=1.0)


def test_a_preview_and_the_psnr_of_pairs_are_written(noisy_photos: Path, tmp_path: Path) -> None:
    photos = sorted(noisy_photos.iterdir())
    pairs = [(photos[0], photos[0])]
    train(replace(TINY, steps=3), job(noisy_photos, tmp_path / "w.safetensors", pairs=pairs))
    assert [p.name for p in sorted((tmp_path / "w.run" / "previews").iterdir())] == ["0000003.png"]
    assert set(scalars(tmp_path / "w.run")) == {"loss/training", "loss/held-out", "lr", "seconds", "psnr"}


def test_a_budget_in_minutes_ends(noisy_photos: Path, tmp_path: Path) -> None:
    train(replace(TINY, steps=None, minutes=0.01), job(noisy_photos, tmp_path / "w.safetensors"))
    assert 0.01 <= float(load_tensors(tmp_path / "w.run" / "state.safetensors")[1]["seconds"]) / 60 < 0.2


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    settings = replace(TINY, lr=1.0, warmup=9)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(settings, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(settings, 500, 0.5) == pytest.approx(0.5)
    assert learning_rate(settings, 1000, 1.0) == pytest.approx(0.0)
    assert learning_rate(replace(settings, schedule="constant"), 1000, 1.0) == 1.0


def test_the_step_schedule_drops_by_ten() -> None:
    settings = replace(TINY, lr=1.0, warmup=0, schedule="step", lr_step=100)
    rates = [learning_rate(settings, step, 0.5) for step in (0, 99, 100, 199, 200)]
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])
    for wrong in ({"lr_step": 0}, {"schedule": "cosine"}, {"lr_step": -1}):
        with pytest.raises(UsageError, match="lr_step"):
            replace(settings, **wrong)


def test_the_papers_presets_train_on_all_photos_in_float32() -> None:
    papers = [preset for presets in PRESETS.values() for name, preset in presets.items() if "paper" in name]
    assert len(papers) == 11
    assert all((paper.precision, paper.validation_every) == ("fp32", 0) for paper in papers)


def test_a_run_without_validation_trains_on_all_photos(noisy_photos: Path, tmp_path: Path) -> None:
    settings = replace(TINY, steps=2, validation_every=0, orientations="flips")
    train(settings, job(noisy_photos, tmp_path / "w.safetensors"))
    assert load_model(tmp_path / "w.safetensors")[1].training["photos"] == 5
    assert set(scalars(tmp_path / "w.run")) == {"loss/training", "lr", "seconds"}


def test_the_paper_s_preset_is_the_paper_s_recipe() -> None:
    paper = PRESETS["nsp"]["paper"]
    assert (paper.patch, paper.batch, paper.lr, paper.steps) == (160, 16, 1e-4, 300_000)
    assert (paper.optimizer, paper.schedule, paper.ema, paper.clip) == ("adam", "constant", 0.0, 0.0)
    assert paper.network_args == {"width": 128, "depth": 9, "residual": False}
    assert paper.method_args == {"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 0}


@pytest.mark.parametrize(
    ("method", "preset", "network", "size", "patch", "steps", "method_args"),
    [
        ("apr", "paper", "atbsn", 1_268_547, 256, 400_000, {"test_shift": 1, "margin": 16}),
        ("apr", "paper-atbsn", "atbsn", 1_268_547, 256, 400_000, {"neighbours": False, "margin": 16}),
        ("rd", "paper", "unet", 1_003_011, 128, 200_000, {}),
        ("rd", "paper-tmbsn", "unet", 1_021_107, 128, 200_000, {}),
    ],
)
def test_the_presets_of_apr_rd_and_at_bsn_are_the_released_recipes(
    method: str, preset: str, network: str, size: int, patch: int, steps: int, method_args: dict[str, int]
) -> None:
    paper = PRESETS[method][preset]
    assert (paper.method, paper.network, paper.method_args) == (method, network, method_args)
    built = build_network(network, {**paper.network_args, **build_method(method, method_args).network_args})
    assert sum(weight.numel() for weight in built.parameters()) == size
    if preset == "paper" and method == "rd":
        assert paper.network_args == {"output_slope": 0.1}
    assert (paper.patch, paper.batch, paper.lr, paper.steps) == (patch, 8, 3e-4, steps)
    assert (paper.optimizer, paper.schedule, paper.weight_decay) == ("adam", "cosine", 0.0)
    assert (paper.warmup, paper.ema, paper.clip) == (0, 0.0, 0.0)


def test_nsp_on_tbsn_is_the_released_recipe() -> None:
    paper = PRESETS["nsp"]["paper-tbsn"]
    assert (paper.network, paper.patch, paper.batch, paper.lr) == ("tbsn", 640, 4, 3e-4)
    assert (paper.optimizer, paper.schedule, paper.ema, paper.clip) == ("adam", "constant", 0.0, 0.0)
    assert paper.method_args == {"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 1}
    assert paper.network_args == {"statistics": "photo", "value_range": 255.0}


def test_the_other_papers_presets_are_their_recipes() -> None:
    apbsn, sdap, amsnet = (PRESETS[method]["paper"] for method in ("apbsn", "sdap", "amsnet"))
    assert apbsn.method_args.items() >= {"stride": 5, "test_stride": 2, "inputs": 0, "refine": 8}.items()
    released = {"layout": "mosaic", "train_layout": "mosaic", "pd_pad": 2, "refine_pad": 2}
    assert apbsn.method_args.items() >= {**released, "refine_masks": "channel", "extend": "zeros"}.items()
    released = {"width": 128, "depth": 9, "residual": False, "variant": "apbsn"}
    assert apbsn.network_args == {**released, "value_range": 255.0}
    assert (apbsn.patch, apbsn.batch, apbsn.lr, apbsn.steps) == (120, 8, 1e-4, 61_000)
    assert (apbsn.schedule, apbsn.lr_step) == ("step", 24_400)
    assert sdap.method_args == {"stride": 5, "test_stride": 2, "inputs": 0, "second_pass": True}
    assert (sdap.patch, sdap.batch, sdap.lr, sdap.steps) == (160, 16, 1e-4, 15 * 1600)
    finetune = PRESETS["sdap"]["paper-finetune"]
    changes = {"patch": 250, "batch": 8, "lr": 1e-5, "steps": 10 * 3200}
    assert finetune == replace(sdap, **changes)
    network = build_network(sdap.network, {**sdap.network_args, "scale": 1})
    assert sum(weight.numel() for weight in network.parameters()) == 3_656_131
    assert amsnet.method_args == {"stride": 5, "test_stride": 2, "inputs": 0}
    assert (amsnet.patch, amsnet.batch, amsnet.lr, amsnet.optimizer) == (160, 4, 1e-4, "adamw")
    assert (amsnet.weight_decay, amsnet.orientations) == (0.0, "flips")
    assert (amsnet.network, amsnet.steps, amsnet.schedule) == ("n2nunet", 250_000, "cosine")
    assert sum(weight.numel() for weight in build_network(amsnet.network, {}).parameters()) == 7_935_555


def test_the_original_tbsn_is_the_released_recipe() -> None:
    tbsn = PRESETS["apbsn"]["paper-tbsn"]
    test_time = {"test_stride": 2, "refine": 8, "refine_masks": "channel"}
    assert tbsn.method_args == {"stride": 5, "inputs": 1, **test_time}
    assert (tbsn.network, tbsn.patch, tbsn.batch, tbsn.lr, tbsn.steps) == ("tbsn", 640, 4, 3e-4, 100_000)
    assert (tbsn.optimizer, tbsn.weight_decay, tbsn.schedule, tbsn.lr_step) == ("adamw", 0.01, "step", 40_000)
    assert tbsn.network_args == {"statistics": "photo", "tail": "plain", "value_range": 255.0}


def test_every_preset_builds() -> None:
    for presets in PRESETS.values():
        for settings in presets.values():
            method = build_method(settings.method, settings.method_args)
            assert settings.patch >= method.smallest_patch
            with torch.device("meta"):
                network = build_network(settings.network, {**settings.network_args, **method.network_args})
                method.pipeline(network, Task.DENOISE)


def test_a_loss_that_is_no_number_ends_the_run(noisy_photos: Path, tmp_path: Path) -> None:
    for steps in (3, 25):  # before a loss is looked at, and after
        with pytest.raises(NspError, match="no longer a number"):
            train(
                replace(TINY, steps=steps, save_every=100, lr=1e30, clip=0.0),
                job(noisy_photos, tmp_path / "w.safetensors"),
            )
        assert not (tmp_path / "w.safetensors").exists()


def test_a_broken_photo_that_is_held_out_ends_nothing(noisy_photos: Path, tmp_path: Path) -> None:
    (noisy_photos / "0.png").write_bytes(b"not a picture")
    with pytest.warns(UserWarning, match="0.png"):
        train(replace(TINY, steps=3), job(noisy_photos, tmp_path / "w.safetensors"))
    assert (tmp_path / "w.run" / "previews" / "0000003.png").exists()
    assert "loss/held-out" not in scalars(tmp_path / "w.run")


def test_a_folder_that_cannot_be_made_is_an_output_error(noisy_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="previews"):
        train(replace(TINY, steps=1), job(noisy_photos, tmp_path / "w.safetensors", folder=tmp_path / "file"))


def test_a_photo_whose_content_has_changed_is_noticed(noisy_photos: Path, tmp_path: Path) -> None:
    train(TINY, job(noisy_photos, tmp_path / "w.safetensors"))
    (noisy_photos / "3.png").write_bytes((noisy_photos / "2.png").read_bytes())
    with pytest.raises(ModelError, match="one has changed"):
        train(TINY, job(noisy_photos, tmp_path / "w.safetensors", resume=True))


def test_previews_show_the_photos_as_they_are(noisy_photos: Path, tmp_path: Path) -> None:
    shown = [noisy_photos / "1.png", noisy_photos / "2.png"]
    train(replace(TINY, steps=1), job(noisy_photos, tmp_path / "w.safetensors", shown=shown))
    strip = read(tmp_path / "w.run" / "previews" / "0000001.png").pixels
    expected = np.concatenate([read(path).pixels for path in shown], 1)
    assert np.array_equal(strip[: expected.shape[0]], expected)
    assert not np.array_equal(strip[expected.shape[0] :], expected)


def test_other_photos_are_another_run(noisy_photos: Path, tmp_path: Path) -> None:
    train(TINY, job(noisy_photos, tmp_path / "w.safetensors"))
    (noisy_photos / "3.png").unlink()
    with pytest.raises(ModelError, match="other photos"):
        train(TINY, job(noisy_photos, tmp_path / "w.safetensors", resume=True))


@pytest.mark.slow
def test_sigterm_leaves_a_run_that_can_go_on(noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    flags = "--steps 100000 --width 8 --depth 1 --batch 1 --patch 72 --device cpu".split()
    command = [sys.executable, "-m", "nsp_cli", "train", str(noisy_photos), "-o", str(target), *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while "step 100," not in run.stderr.readline():
            assert run.poll() is None
        run.terminate()
        rest = run.stderr.read()
    assert run.returncode == 130
    assert "--resume" in rest
    assert load_model(target)[1].training["steps"] >= 100


def test_unusable_settings_are_usage_errors(noisy_photos: Path, tmp_path: Path) -> None:
    for wrong in (
        {"steps": None},
        {"minutes": 1.0},
        {"steps": 0},
        {"batch": 0},
        {"optimizer": "sgd"},
        {"ema": 1.0},
        {"seed": -1},
        {"precision": "fp16"},
    ):
        with pytest.raises(UsageError):
            replace(TINY, **wrong)
    with pytest.raises(UsageError, match="`patch` of at least 36"):
        train(replace(TINY, patch=20), job(noisy_photos, tmp_path / "w.safetensors"))


def torchrun(*arguments: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr


_RANKS = """
import os, pathlib, sys, torch
from nsp_cli.model.checkpoint import save_tensors
from nsp_cli.training import Job, TrainConfig, trainer

torch.set_num_threads(1)
settings, photos, folder = sys.argv[1], sorted(pathlib.Path(sys.argv[2]).iterdir()), pathlib.Path(sys.argv[3])
save = trainer._Run._save

def save_each_rank(run):
    save(run)
    save_tensors(run.state.network.state_dict(), {}, folder / f"rank{os.environ['RANK']}.safetensors")

trainer._Run._save = save_each_rank
job = Job(photos, folder / "two.safetensors", folder / "two.run", device="cpu")
trainer.train(TrainConfig.from_json(settings), job)
"""


@pytest.mark.slow
def test_two_processes_train_one_network(noisy_photos: Path, tmp_path: Path) -> None:
    """Both end with the same weights, which are those of neither one's photos alone."""
    settings = replace(TINY, steps=3)
    (tmp_path / "ranks.py").write_text(_RANKS)
    torchrun(tmp_path / "ranks.py", settings.to_json(), noisy_photos, tmp_path)
    assert same(tmp_path / "rank0.safetensors", tmp_path / "rank1.safetensors")
    train(settings, job(noisy_photos, tmp_path / "one.safetensors"))
    assert not same(tmp_path / "one.safetensors", tmp_path / "two.safetensors")


def test_a_network_that_is_shared_still_says_what_it_is() -> None:
    """A loss may ask it, as AMSNet's does for `size_multiple`."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        shared = wrap(build_network("unet", {"width": 4, "levels": 3}), ProcessInfo(world_size=2))
        assert shared.size_multiple == 8
        assert not hasattr(shared, "colour")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_torchrun_runs_the_command_line(noisy_photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "team.safetensors"
    flags = [
        "--minutes",
        "0.01",
        "--width",
        "8",
        "--depth",
        "1",
        "--batch",
        "2",
        "--patch",
        "72",
        "--device",
        "cpu",
        "--quiet",
    ]
    torchrun("-m", "nsp_cli", "train", noisy_photos, "-o", target, *flags)
    assert load_model(target)[1].training["steps"] >= 1
    assert saved_settings(tmp_path / "team.run").minutes == 0.01


def test_only_a_method_that_knows_the_noise_level_can_tell_it(noisy_photos: Path, tmp_path: Path) -> None:
    """What was told it can go on without, as the sentence says."""
    told = {"widths": [8, 8], "depths": [1, 1], "noise_level": True}
    start = tmp_path / "told.safetensors"
    save_model(build_network("resunet", told), ModelSpec("resunet", told, "simulated", {}), start)
    wants = replace(TINY, method="amsnet", method_args={}, network="resunet", network_args=told, patch=96, steps=1)
    with pytest.raises(UsageError, match=r"'amsnet' takes no noise level; add `network_args\.noise_level=false`"):
        train(wants, job(noisy_photos, tmp_path / "new.safetensors"))
    without = replace(wants, network_args={**told, "noise_level": False})
    train(without, job(noisy_photos, tmp_path / "new.safetensors", start=start))
    assert not load_model(tmp_path / "new.safetensors")[1].network_args["noise_level"]


def test_a_network_that_would_learn_to_return_the_photo_is_refused(noisy_photos: Path, tmp_path: Path) -> None:
    plain = replace(TINY, method="apbsn", method_args={}, network="resunet", network_args={}, patch=96)
    with pytest.raises(UsageError, match=r"'apbsn' trains networks with a blind spot \(dbsn, tbsn\), got 'resunet'"):
        train(plain, job(noisy_photos, tmp_path / "new.safetensors"))

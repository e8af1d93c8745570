"""The flags of `nsp train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nsp_cli.cli import common_flags
from nsp_cli.cli.commands.train_config import parse_set, resolve_config
from nsp_cli.cli.common_flags import option, switch
from nsp_cli.model.spec import Precision

if TYPE_CHECKING:
    from nsp_cli.training import TrainConfig

RUN, METHOD, NETWORK, STEP, MEMORY = "Run", "Method", "Network", "Training step", "Memory"
"""The panels of `nsp train --help`."""


@dataclass(frozen=True)
class TrainFlags:
    """The flags of `nsp train`, in the order of its help; None leaves a choice to the preset."""

    output: Annotated[Path, option("-o", "--output", panel=RUN, metavar="FILE", help="Write the weights here.")] = Path(
        "nsp.safetensors"
    )
    resume: Annotated[
        bool, switch("--resume", panel=RUN, help="Continue the run of this --output with the same settings.")
    ] = False
    minutes: Annotated[float | None, option("--minutes", panel=RUN, metavar="N", help="Train for N minutes.")] = None
    steps: Annotated[int | None, option("--steps", panel=RUN, metavar="N", help="Train for N steps.")] = None
    save_every: Annotated[
        int | None, option("--save-every", panel=RUN, metavar="N", help="Save the state every N steps.")
    ] = None
    seed: Annotated[int | None, option("--seed", panel=RUN, metavar="N", help="Set the random seed.")] = None
    pairs: Annotated[
        tuple[Path, Path] | None,
        option(
            "--pairs",
            panel=RUN,
            metavar="NOISY CLEAN",
            help="Log the PSNR on two folders of pairs; no effect on the training.",
        ),
    ] = None
    method: Annotated[
        str | None,
        option(
            "--method",
            panel=METHOD,
            metavar="NAME",
            help="Train by nsp, apr, apbsn, sdap or amsnet (from noisy photos), rd (from --teacher models), "
            "or simulated (from clean photos).",
            show_default="the method of the weights to start from",
        ),
    ] = None
    preset: Annotated[
        str,
        option(
            "--preset",
            panel=METHOD,
            metavar="NAME",
            help="Use the settings photographer (for a CPU) or paper (as published: float32, all photos).",
        ),
    ] = "photographer"
    start: Annotated[
        str | None,
        option(
            "--from",
            panel=METHOD,
            metavar="MODEL",
            help="Start from these weights, or from 'scratch'.",
            show_default="weights that ship, unless an option changes the network",
        ),
    ] = None
    keep: Annotated[
        float | None,
        option(
            "--keep",
            panel=METHOD,
            metavar="0..1",
            help="Interpolate the result with the weights to start from (WiSE-FT): the fraction of the latter.",
        ),
    ] = None
    strategy: Annotated[
        str | None,
        option(
            "--strategy",
            panel=METHOD,
            metavar="NAME",
            help="Build NSP's pairs by canonical, random, sorted, intersected or consecutive.",
        ),
    ] = None
    stride: Annotated[
        int | None, option("--stride", panel=METHOD, metavar="s", help="Set the side of NSP's cells in pixels.")
    ] = None
    targets: Annotated[
        int | None, option("--targets", panel=METHOD, metavar="n", help="Set the number of targets in a cell.")
    ] = None
    inputs: Annotated[
        int | None,
        option("--inputs", panel=METHOD, metavar="N", help="Use N inputs for each target; 0 uses all."),
    ] = None
    scale: Annotated[
        int | None, option("--scale", panel=METHOD, metavar="t", help="Set the factor from input to target.")
    ] = None
    teachers: Annotated[
        list[str] | None,
        option("--teacher", panel=METHOD, metavar="MODEL", help="Learn from this model (repeatable)."),
    ] = None
    teacher_views: Annotated[
        int | None,
        option(
            "--teacher-views",
            panel=METHOD,
            metavar="N",
            help="Use N test-time variants of each teacher: its own (shifts, phases), then flips and rotations.",
            show_default="its own, at least 4",
        ),
    ] = None
    others: Annotated[
        list[str] | None,
        option(
            "--set",
            panel=METHOD,
            metavar="NAME=VALUE",
            help="Set any other setting of the method or argument of the network (repeatable).",
        ),
    ] = None
    network: Annotated[
        str | None,
        option(
            "--network",
            panel=NETWORK,
            metavar="NAME",
            help="Train a dbsn, tbsn, atbsn, unet, n2nunet, resunet or nafnet.",
        ),
    ] = None
    width: Annotated[
        int | None, option("--width", panel=NETWORK, metavar="N", help="Set the number of feature channels.")
    ] = None
    depth: Annotated[
        int | None, option("--depth", panel=NETWORK, metavar="N", help="Set the number of residual modules.")
    ] = None
    residual: Annotated[
        bool | None,
        switch("--residual/--no-residual", panel=NETWORK, help="Add a blind average of the input to the output."),
    ] = None
    batch: Annotated[
        int | None, option("--batch", panel=STEP, metavar="N", help="Use N crops in a step, over all processes.")
    ] = None
    patch: Annotated[int | None, option("--patch", panel=STEP, metavar="PIXELS", help="Set the side of a crop.")] = None
    lr: Annotated[float | None, option("--lr", panel=STEP, metavar="RATE", help="Set the peak learning rate.")] = None
    optimizer: Annotated[
        str | None, option("--optimizer", panel=STEP, metavar="NAME", help="Use adam, adamw or muon; set --lr too.")
    ] = None
    compile: Annotated[
        bool | None, switch("--compile/--no-compile", panel=STEP, help="Compile the network with torch.compile.")
    ] = None
    precision: Annotated[
        Precision | None,
        option("--precision", panel=STEP, metavar="FORMAT", help="Compute in auto, fp32, bf16 or fp16."),
    ] = None
    device: common_flags.Device = "auto"
    cache_megabytes: Annotated[
        int | None, option("--cache", panel=MEMORY, metavar="MB", help="Keep decoded photos up to this size in memory.")
    ] = None
    teacher_cache_megabytes: Annotated[
        int | None,
        option(
            "--teacher-cache",
            panel=MEMORY,
            metavar="MB",
            help="Keep outputs of teachers up to this size on disk.",
            show_default="10000",
        ),
    ] = None
    quiet: common_flags.Quiet = False
    verbose: common_flags.Verbose = False

    def resolve(self) -> tuple[TrainConfig, Path | None]:
        """Resolve to a configuration and the initial weights, see `resolve_config`."""
        names = (
            "batch", "patch", "lr", "optimizer", "keep", "seed", "save_every", "compile",
            "cache_megabytes", "teacher_views", "teacher_cache_megabytes",
        )  # fmt: skip
        fields = {name: getattr(self, name) for name in names}
        fields["precision"] = self.precision and str(self.precision)
        fields["teachers"] = self.teachers and _files(self.teachers)
        names = ("strategy", "stride", "targets", "inputs", "scale", "width", "depth", "residual")
        arguments = _given({name: getattr(self, name) for name in names}) | parse_set(self.others or [])
        return resolve_config(
            self.method,
            self.preset,
            self.start,
            self.network,
            steps=self.steps,
            minutes=self.minutes,
            fields=_given(fields),
            arguments=arguments,
        )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _files(names: list[str]) -> tuple[str, ...]:
    """Return absolute paths of models, so that a run can be resumed from another folder. Raises `ModelError`."""
    from nsp_cli.model import registry

    return tuple(str(registry.resolve(name).absolute()) for name in names)

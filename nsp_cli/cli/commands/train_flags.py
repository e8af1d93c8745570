"""The flags of `nsp train`; `train_config` makes a configuration of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from nsp_cli.cli import common_flags
from nsp_cli.cli.commands.train_adapt import Adaptation
from nsp_cli.cli.commands.train_help import METHODS, NETWORKS
from nsp_cli.cli.common_flags import option, switch
from nsp_cli.model.spec import Precision

RUN, METHOD, NETWORK, STEP, MEMORY = "Run", "Method", "Network", "Training step", "Memory"
"""The panels of `nsp train --help`."""

PRESET = "the preset's"
"""The default of what presets decide."""


@dataclass(frozen=True)
class TrainFlags:
    """The flags of `nsp train`, in the order of its help; None leaves a choice to the preset."""

    output: Annotated[Path, option("-o", "--output", panel=RUN, metavar="FILE", help="Write the weights here.")] = Path(
        "nsp.safetensors"
    )
    resume: Annotated[
        bool, switch("--resume", panel=RUN, help="Continue the run of this --output with the same settings.")
    ] = False
    minutes: Annotated[
        float | None,
        option(
            "--minutes",
            panel=RUN,
            metavar="N",
            help="Train for N minutes.",
            show_default="the preset's; 10 to adapt fast",
        ),
    ] = None
    steps: Annotated[
        int | None,
        option(
            "--steps",
            panel=RUN,
            metavar="N",
            help="Train for N steps, instead of --minutes.",
            show_default="the preset's; 60 with --adapt nsp",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        option("--save-every", panel=RUN, metavar="N", help="Save the state every N steps.", show_default=PRESET),
    ] = None
    seed: Annotated[
        int | None, option("--seed", panel=RUN, metavar="N", help="Set the random seed.", show_default="0")
    ] = None
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
            help=f"Train by this method: {METHODS}. `list` prints the methods and their presets.",
            show_default="the method of the weights to start from",
        ),
    ] = None
    preset: Annotated[
        str,
        option(
            "--preset",
            panel=METHOD,
            metavar="NAME",
            help="Use these settings: photographer (for a CPU), paper (as published: float32, all photos), or another "
            "preset of `--method list`.",
        ),
    ] = "photographer"
    start: Annotated[
        str | None,
        option(
            "--from",
            panel=METHOD,
            metavar="MODEL",
            help="Start from the weights of this model, or from random ones with 'scratch'.",
            show_default="fast; scratch with --method, --network or another --preset",
        ),
    ] = None
    adapt: Annotated[
        Adaptation | None,
        option(
            "--adapt",
            panel=METHOD,
            metavar="WAY",
            help="Adapt the model to the photos' noise by simulated cameras (cameras), or by NSP's loss on the photos "
            "themselves (nsp), which makes results softer: worse on sharp photos, perhaps better where grain stays.",
            show_default="cameras for fast, best and fast-sr",
        ),
    ] = None
    keep: Annotated[
        float | None,
        option(
            "--keep",
            panel=METHOD,
            metavar="0..1",
            help="Keep this fraction of the initial weights in the result (weight interpolation, WiSE-FT).",
            show_default="0; 0.7 to adapt fast",
        ),
    ] = None
    strategy: Annotated[
        str | None,
        option(
            "--strategy",
            panel=METHOD,
            metavar="NAME",
            help="Build NSP's pairs this way: canonical, random, sorted, intersected or consecutive.",
            show_default=PRESET,
        ),
    ] = None
    stride: Annotated[
        int | None,
        option(
            "--stride",
            panel=METHOD,
            metavar="s",
            help="Set the side of NSP's cells (not of canonical pairs), or the PD stride of apbsn, sdap and amsnet.",
            show_default="5",
        ),
    ] = None
    targets: Annotated[
        int | None,
        option(
            "--targets",
            panel=METHOD,
            metavar="n",
            help="Set the number of NSP's targets in a cell (not of canonical pairs).",
            show_default="1",
        ),
    ] = None
    inputs: Annotated[
        int | None,
        option(
            "--inputs",
            panel=METHOD,
            metavar="N",
            help="Use N inputs for each target; 0 uses all (not of canonical pairs).",
            show_default=PRESET,
        ),
    ] = None
    scale: Annotated[
        int | None,
        option(
            "--scale",
            panel=METHOD,
            metavar="t",
            help="Set the factor by which the target is larger than the input (nsp, simulated).",
            show_default=PRESET,
        ),
    ] = None
    teachers: Annotated[
        list[str] | None,
        option("--teacher", panel=METHOD, metavar="MODEL", help="Train rd on the outputs of this model (repeatable)."),
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
            help="Set any other setting of the method or argument of the network (repeatable). Without --method and "
            "--from, a setting that the method nsp has trains nsp instead of fast.",
        ),
    ] = None
    network: Annotated[
        str | None,
        option(
            "--network",
            panel=NETWORK,
            metavar="NAME",
            help=f"Train this network: {NETWORKS}.",
            show_default="the preset's, or that of --from",
        ),
    ] = None
    width: Annotated[
        int | None,
        option(
            "--width",
            panel=NETWORK,
            metavar="N",
            help="Set the number of feature channels (dbsn, atbsn, unet, n2nunet).",
            show_default=PRESET,
        ),
    ] = None
    depth: Annotated[
        int | None,
        option(
            "--depth",
            panel=NETWORK,
            metavar="N",
            help="Set the number of residual modules in each branch (dbsn).",
            show_default=PRESET,
        ),
    ] = None
    residual: Annotated[
        bool | None,
        switch(
            "--residual/--no-residual",
            panel=NETWORK,
            help="Predict the difference from the mean of the eight neighbours (dbsn), or of the four pixels at "
            "distance k (atbsn).",
        ),
    ] = None
    batch: Annotated[
        int | None,
        option(
            "--batch", panel=STEP, metavar="N", help="Use N crops in a step, over all processes.", show_default=PRESET
        ),
    ] = None
    patch: Annotated[
        int | None, option("--patch", panel=STEP, metavar="PIXELS", help="Set the side of a crop.", show_default=PRESET)
    ] = None
    lr: Annotated[
        float | None,
        option(
            "--lr",
            panel=STEP,
            metavar="RATE",
            help="Set the peak learning rate.",
            show_default="the preset's; with initial weights a third of it",
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        option(
            "--optimizer",
            panel=STEP,
            metavar="NAME",
            help="Use this optimizer: adam, adamw or muon; set --lr too.",
            show_default=PRESET,
        ),
    ] = None
    compile: Annotated[
        bool | None,
        switch(
            "--compile/--no-compile",
            panel=STEP,
            help="Compile the network with torch.compile; by default on CUDA only.",
        ),
    ] = None
    precision: Annotated[
        Precision | None,
        option(
            "--precision",
            panel=STEP,
            metavar="FORMAT",
            help="Train in this number format: auto (bf16 where the device has it), fp32 or bf16.",
            show_default=PRESET,
        ),
    ] = None
    device: common_flags.Device = "auto"
    cache_megabytes: Annotated[
        int | None,
        option(
            "--cache",
            panel=MEMORY,
            metavar="MB",
            help="Keep decoded photos up to this size in memory.",
            show_default="2000",
        ),
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

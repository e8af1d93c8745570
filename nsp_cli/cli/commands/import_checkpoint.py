"""`nsp import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.common_flags import option
from nsp_cli.cli.console import err
from nsp_cli.errors import UsageError
from nsp_cli.system.atomic import check_place
from nsp_cli.system.files import exists, is_file, is_folder

WEIGHTS = "Weights"
"""A panel of `nsp import --help`."""

Checkpoint = Annotated[
    Path,
    typer.Argument(metavar="CHECKPOINT", help="Published weights, as torch.save wrote them.", show_default=False),
]
Method = Annotated[
    str | None,
    option(
        "--as",
        "--method",
        panel=WEIGHTS,
        metavar="METHOD",
        help="Set the method where the weights' shapes fit several: apbsn, sdap or sdap-e (two passes); at-bsn or "
        "apr (k = 2 or 1 at test time).",
        show_default="as recognised, at-bsn",
    ),
]
ValueRange = Annotated[
    float | None,
    option(
        "--value-range",
        panel=WEIGHTS,
        metavar="1|255",
        help="Set the value of white that the network was trained with, 1 or 255.",
        show_default="that of the paper's program",
    ),
]


def import_checkpoint(
    checkpoint: Checkpoint,
    target: common_flags.Output,
    method: Method = None,
    value_range: ValueRange = None,
    overwrite: common_flags.Overwrite = False,
    verbose: common_flags.Verbose = False,
) -> None:
    """Convert the published weights of a paper (.pth) to a model for the other commands."""
    if target.suffix != ".safetensors":
        raise UsageError(f"The file to write must end in .safetensors, got {target.name}.")
    if not is_folder(target.absolute().parent):
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if exists(target) and not overwrite:
        raise UsageError(f"{target} exists already; use --overwrite, or another name.")
    check_place(target)
    if exists(checkpoint) and not is_file(checkpoint):  # a device may never end
        raise UsageError(f"{checkpoint} is not a file.")
    from nsp_cli.model.checkpoint import save_model
    from nsp_cli.model.importing import read_checkpoint

    network, spec, layout = read_checkpoint(checkpoint, method, value_range)
    save_model(network, spec, target)
    size = sum(weight.numel() for weight in network.parameters())
    err.print(f"{target}: {layout.title}, {size:,} parameters; use it with: nsp denoise -m {target} IN OUT")

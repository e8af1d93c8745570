"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from nsp_cli.cli.commands.compare import compare
from nsp_cli.cli.commands.denoise import denoise, sr
from nsp_cli.cli.commands.doctor import doctor
from nsp_cli.cli.commands.eval import evaluate
from nsp_cli.cli.commands.export import export
from nsp_cli.cli.commands.import_checkpoint import import_checkpoint
from nsp_cli.cli.commands.inspect import inspect
from nsp_cli.cli.commands.models import list_models
from nsp_cli.cli.commands.train import train
from nsp_cli.cli.commands.watch import watch
from nsp_cli.system.version import __version__

app = typer.Typer(
    help="Removes real camera noise from photos, and enlarges noisy photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(denoise)
app.command()(sr)
app.command()(watch)
app.command()(train)
app.command()(export)
app.command("import")(import_checkpoint)
app.command("eval")(evaluate)
app.command()(inspect)
app.command()(compare)
app.command("models")(list_models)
app.command()(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nsp {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Remove real camera noise from photos, and enlarge noisy photos, with networks trained on noisy photos alone."""

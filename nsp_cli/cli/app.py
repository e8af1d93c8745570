"""The table of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from nsp_cli.cli.commands.compare import compare
from nsp_cli.cli.commands.denoise import denoise, sr
from nsp_cli.cli.commands.doctor import doctor
from nsp_cli.cli.commands.eval import evaluate
from nsp_cli.cli.commands.export import export
from nsp_cli.cli.commands.import_checkpoint import import_checkpoint
from nsp_cli.cli.commands.inspect import inspect
from nsp_cli.cli.commands.models import list_models
from nsp_cli.cli.commands.train import train
from nsp_cli.cli.commands.train_help import registered
from nsp_cli.cli.commands.watch import watch
from nsp_cli.cli.help_panels import MESSAGES, in_order_of_panels
from nsp_cli.system.version import __version__


def _without_types(params: list[Any]) -> list[Any]:
    """Return parameters whose help shows no Python types: arguments have their names, and switches have nothing.

    A default that is described in words is shown as it is, where Typer adds parentheses.
    """
    for param in params:
        if isinstance(param.show_default, str):
            param._get_default_string = lambda default=param.show_default, **_: default
        if isinstance(param, TyperArgument):
            shown: Any = param
            shown.display_type_rich = lambda **_: None
            shown.get_usage_pieces = lambda _, name=param.metavar: [name]
        elif getattr(param, "is_flag", False):
            param.metavar = " "
    return params


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        params = _without_types(super().get_params(ctx))
        params[-1].rich_help_panel = MESSAGES  # --help
        return in_order_of_panels(params)


class _TrainCommand(_Command):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        for param in self.params:
            param.help = registered(param.help or "")  # pyright: ignore[reportAttributeAccessIssue]
        super().format_help(ctx, formatter)


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


app = typer.Typer(
    cls=_Group,
    help="Remove camera noise from photos, and enlarge noisy photos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=_Command)(denoise)
app.command(cls=_Command)(sr)
app.command(cls=_Command)(watch)
app.command(cls=_TrainCommand)(train)
app.command(cls=_Command)(export)
app.command("import", cls=_Command)(import_checkpoint)
app.command("eval", cls=_Command)(evaluate)
app.command(cls=_Command)(inspect)
app.command(cls=_Command)(compare)
app.command("models", cls=_Command)(list_models)
app.command(cls=_Command)(doctor)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"nsp {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Remove camera noise from photos, and enlarge noisy photos."""

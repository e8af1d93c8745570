"""Flags of the last version are still there; the help of every command fits a terminal and shows no Python types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer import rich_utils as typer_help

import nsp_cli
from nsp_cli.cli import help_panels
from nsp_cli.cli.app import app
from nsp_cli.cli.flag_names import flag_of, with_flags
from nsp_cli.model import registry
from nsp_cli.model.spec import Task
from tests.cli.test_commands import run

PHOTO = (
    "--backend --blind --chroma --device --dry-run --exclude --format --if-exists --include --jobs --json "
    "--luma --model --no-metadata --noise --precision --quality --quiet --raw-exposure --raw-wb "
    "--recursive --report --strength --tile --verbose -f -j -m -q -r -t "
)
FLAGS = {  # of version 0.1, commit f384199
    "denoise": PHOTO,
    "sr": PHOTO + "--scale -s --mode",
    "train": (
        "--batch --cache --compile --depth --device --from --inputs --keep --lr --method --minutes --network "
        "--no-compile --no-residual --optimizer --output --pairs --patch --precision --preset --quiet "
        "--residual --resume --save-every --scale --seed --set --steps --strategy --stride --targets "
        "--teacher --teacher-cache --teacher-views --verbose --width -o "
    ),
    "export": "--blind --model --overwrite --task --verbose -m",
    "eval": (
        "--backend --blind --chroma --dataset --device --json --luma --model --precision --quiet --strength "
        "--submission --tile --verbose -m -t "
    ),
    "inspect": "--device --json --model --precision --residual --tile --verbose -m -t",
    "models": "--json --verbose",
}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_of_the_last_version_is_still_there(name: str) -> None:
    there = {flag for param in COMMANDS[name].params for flag in (*param.opts, *param.secondary_opts)}
    assert set(FLAGS[name].split()) <= there


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_fits_a_terminal_and_shows_no_types_of_python(
    name: str | None, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(typer_help, "MAX_WIDTH", columns)
    with pytest.raises(SystemExit):
        app([*([name] if name else []), "--help"])
    text = capsys.readouterr().out
    assert "Usage: " in text
    assert max(map(len, text.splitlines())) <= columns
    assert not re.search(r"<(bool|path|str|int|float|list)|Path", text)
    assert "[default: (" not in text


def test_the_help_names_the_default_models() -> None:
    denoiser, enlarger = (registry.resolve(None, task).stem for task in (Task.DENOISE, Task.DIRECT))
    (model,) = (param for param in COMMANDS["sr"].params if param.name == "model")
    assert model.show_default == f"{denoiser}; for sr {enlarger}"


@pytest.mark.parametrize("name", COMMANDS)
def test_panels_of_the_help_have_one_order(name: str) -> None:
    context = typer.Context(COMMANDS[name])
    panels = dict.fromkeys(param.rich_help_panel for param in COMMANDS[name].get_params(context))
    common = [help_panels.IN_OUT, help_panels.LOOK, help_panels.RAW, help_panels.MODEL, help_panels.BATCH]
    assert [panel for panel in panels if panel in common] == [panel for panel in common if panel in panels]
    assert list(panels)[-1] == help_panels.MESSAGES


@pytest.mark.parametrize(
    ("library", "command_line"),
    [
        ("`tile` must be 0, got -1.", "--tile must be 0, got -1."),
        ("use `device=cpu`; not `white_balance`", "use --device cpu; not --raw-wb"),
        ("add `network_args.noise_level=false`.", "add --set noise_level=false."),
        ("`nsp models` and `recharge`", "`nsp models` and `recharge`"),
        ("`save_every` must be above `width`.", "--save-every must be above --width."),
        ("leave out `noise`.", "leave out --noise."),
    ],
)
def test_parameters_in_messages_are_flags_on_the_command_line(library: str, command_line: str) -> None:
    assert with_flags(library) == command_line


def test_every_parameter_that_a_message_names_is_a_flag() -> None:
    flags = {flag for command in COMMANDS.values() for param in command.params for flag in param.opts}
    package = Path(nsp_cli.__file__).parent
    text = "".join(path.read_text("utf-8") for path in package.rglob("*.py") if path.parent.name != "commands")
    raised = re.findall(r"raise \w+Error\((?:[^()]|\([^()]*\))*\)", text)
    named = {name for call in raised for name in re.findall(r"`([a-z_]+)(?:=[^`]+)?`", call)}
    assert {"tile", "device", "precision", "keep", "teachers"} <= named
    for name in named:
        assert with_flags(f"`{name}`") == flag_of(name)
        assert flag_of(name) in flags


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.onnx", "--precision", "bf16"], "fp32 or int8"),
        (["a.onnx", "--precision", "int8"], "go together"),
        (["a.onnx", "--calibrate", "."], "go together"),
        (["a.dtmodel", "--for", "darktable", "--precision", "int8", "--calibrate", "."], "are in fp32"),
        (["a.onnx", "--for", "chainner", "--noise-input"], "leave out one of the two"),
        (["a.onnx", "--for", "upscayl"], "Use `nsp sr`"),
        (["a.png"], "must end in .onnx"),
    ],
)
def test_options_of_export_that_exclude_each_other(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run("export", *arguments)
    assert (code, sentence in said) == (2, True)
    assert list(tmp_path.iterdir()) == []

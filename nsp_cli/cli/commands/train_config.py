"""Turn the flags of `nsp train` into a `TrainConfig` and the initial weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsp_cli.cli.commands.train_adapt import SCRATCH, with_adaptation
from nsp_cli.cli.console import warn
from nsp_cli.errors import UsageError
from nsp_cli.model.renamed import METHOD_SETTINGS, NETWORK_ARGUMENTS, update_method_settings, with_new_names
from nsp_cli.model.spec import Task
from nsp_cli.system.arguments import check_value, hint_of

if TYPE_CHECKING:
    from nsp_cli.cli.commands.train_flags import TrainFlags
    from nsp_cli.model.spec import ModelSpec
    from nsp_cli.training import TrainConfig

_CONFIG_FIELDS = (
    *("batch", "patch", "lr", "optimizer", "keep", "seed", "save_every", "compile"),
    *("cache_megabytes", "teacher_views", "teacher_cache_megabytes"),
)
"""Flags that are fields of `TrainConfig`."""

_ARGUMENTS = ("strategy", "stride", "targets", "inputs", "scale", "width", "depth", "residual")
"""Flags that are settings of the method or arguments of the network."""

_FIXED = {"channels"}
"""Arguments of networks that cannot be set: photos have three channels."""

_SHARED_SETTINGS = {"coarse_chroma"}
"""Settings of NSP that do not choose its weights: the default denoiser has them too."""

_NONE: Mapping[str, Any] = {}


def resolve_flags(flags: TrainFlags) -> tuple[TrainConfig, Path | None]:
    """Resolve the flags of a command to a configuration and the initial weights, see `resolve_config`."""
    flags = with_adaptation(flags)
    fields = {name: getattr(flags, name) for name in _CONFIG_FIELDS}
    fields["precision"] = flags.precision and str(flags.precision)
    fields["teachers"] = flags.teachers and _absolute_paths(flags.teachers)
    arguments = _given({name: getattr(flags, name) for name in _ARGUMENTS}) | parse_set(flags.others or [])
    return resolve_config(
        flags.method,
        flags.preset,
        flags.start,
        flags.network,
        steps=flags.steps,
        minutes=flags.minutes,
        fields=_given(fields),
        arguments=arguments,
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _absolute_paths(names: list[str]) -> tuple[str, ...]:
    """Return absolute paths of models, so that a run can be resumed from another folder. Raises `ModelError`."""
    from nsp_cli.model import registry

    return tuple(str(registry.resolve(name).absolute()) for name in names)


def resolve_config(
    method: str | None = None,
    preset: str = "photographer",
    start: str | None = None,
    network: str | None = None,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    fields: Mapping[str, Any] = _NONE,
    arguments: Mapping[str, Any] = _NONE,
) -> tuple[TrainConfig, Path | None]:
    """Resolve settings, None where the user gave none, to a configuration and the initial weights.

    Parameters
    ----------
    start : str, optional
        Weights, `SCRATCH`, or None for those that ship unless another option changes the network.
    fields : mapping
        Fields of `TrainConfig` that override the preset's.
    arguments : mapping
        Settings of the method or arguments of the network.

    Raises
    ------
    UsageError, ModelError
        An option or the weights do not fit.
    """
    from nsp_cli.methods import check_network
    from nsp_cli.model.checkpoint import read_spec
    from nsp_cli.training import PHOTOGRAPHER, continues, find_preset

    changes_network = method is not None or network is not None or preset != PHOTOGRAPHER
    begin = _initial_weights(start, arguments, preset, changes_network=changes_network)
    spec = None if begin is None else read_spec(begin)
    own_settings = method is None
    method = method or ("nsp" if spec is None else spec.method)
    config = find_preset(method, preset).with_budget(steps, minutes)
    later_stage = continues(method, preset)
    if spec is None and later_stage:
        raise UsageError(f"The preset {preset} of {method} continues a training; name its weights with --from.")
    if spec is not None:
        rate = config.lr if later_stage else config.lr / 3
        config = _fine_tuning(spec, replace(config, lr=rate), with_its_settings=own_settings)
    if network not in (None, config.network):
        config = replace(config, network=network, network_args={})
    check_network(config.method, config.network)
    config = with_arguments(replace(config, **fields), arguments)
    if config.method_args.get("strategy") == "canonical" and {"stride", "targets"} & set(arguments):
        raise UsageError(
            "--stride and --targets do not apply to canonical pairs; choose them with --strategy consecutive."
        )
    return config, begin


def _initial_weights(
    start: str | None, arguments: Mapping[str, Any], preset: str, *, changes_network: bool
) -> Path | None:
    """Return the weights to start from, None for random ones.

    Without `start` these are `registry.PLAIN`. But arguments that NSP has too, such as `inputs`, are NSP's: its
    settings change its own shipped weights, and arguments of its network mean random ones.
    """
    from nsp_cli.methods import settings_of
    from nsp_cli.model import registry
    from nsp_cli.networks import arguments_of
    from nsp_cli.training import find_preset

    if start is None and not changes_network:
        changes_network = bool(set(arguments) & set(arguments_of(find_preset("nsp", preset).network)))
    if start == SCRATCH or (start is None and changes_network):
        return None
    of_nsp = bool(set(arguments) & (set(settings_of("nsp")) - _SHARED_SETTINGS))
    if start is None and not of_nsp:
        start = registry.PLAIN
    return registry.resolve(start, Task.SHUFFLE)


def _fine_tuning(spec: ModelSpec, config: TrainConfig, *, with_its_settings: bool) -> TrainConfig:
    """Derive settings for fine-tuning: the weights' network and, where no method is named, their method's settings."""
    from nsp_cli.methods import build_method

    prescribed = build_method(spec.method, spec.method_args).network_args
    return replace(
        config,
        network=spec.network,
        network_args={key: value for key, value in spec.network_args.items() if key not in prescribed},
        method_args=dict(spec.method_args) if with_its_settings else config.method_args,
    )


def with_arguments(config: TrainConfig, arguments: Mapping[str, Any]) -> TrainConfig:
    """Set each value in the method if it has a setting of that name, else in the network.

    Raises
    ------
    UsageError
        Neither has one, or the value has another type or is out of bounds.
    """
    from nsp_cli.methods import METHODS, build_method, settings_of
    from nsp_cli.networks import NETWORKS, arguments_of

    arguments = _with_new_names(config, arguments)
    of_method = settings_of(config.method)
    decided = {*_FIXED, *build_method(config.method, {}).network_args}
    of_network = {key: value for key, value in arguments_of(config.network).items() if key not in decided}
    method_args, network_args = dict(config.method_args), dict(config.network_args)
    for name, value in arguments.items():
        if name in of_method:
            method_args[name] = _checked(name, value, of_method[name], METHODS[config.method])
        elif name in of_network:
            network_args[name] = _checked(name, value, of_network[name], NETWORKS[config.network])
        else:
            raise UsageError(
                f"There is no setting '{name}' here: the method {config.method} has {_listed(of_method)}, "
                f"and the network {config.network} has {_listed(of_network)}."
            )
    updated = update_method_settings(config.method, method_args)
    if updated != method_args:
        warn("For canonical pairs, --inputs is now --set canonical_grids; the old name ends with the next version.")
        method_args = updated
    build_method(config.method, method_args)  # settings that contradict each other
    return replace(config, method_args=method_args, network_args=network_args)


def _with_new_names(config: TrainConfig, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace the former names of settings, with a warning for each."""
    renamed = {**NETWORK_ARGUMENTS.get(config.network, {}), **METHOD_SETTINGS.get(config.method, {})}
    for old in arguments.keys() & renamed.keys():
        warn(f"--set {old} is now --set {renamed[old]}; the old name will be removed in the next version.")
    return with_new_names(arguments, renamed)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(values) or "none"


def _checked(name: str, value: Any, default: Any, taken_by: Callable[..., Any]) -> Any:
    """Return the value of a setting, if it fits the setting's type and bounds. Raises `UsageError`."""
    try:
        check_value("it", value, hint_of(taken_by, name))
    except ValueError as error:
        found = str(error).partition(", got ")[0]
        raise UsageError(
            f"The setting '{name}' takes a value like {json.dumps(default)}, got {json.dumps(value)}; {found}."
        ) from error
    return value


def parse_set(pairs: list[str]) -> dict[str, Any]:
    """Parse the arguments of --set, NAME=VALUE; VALUE is JSON, or else text. Raises `UsageError`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--set needs NAME=VALUE, as in --set inputs=2, got '{pair}'.")
        try:
            values[name.replace("-", "_")] = json.loads(text)
        except ValueError:
            values[name.replace("-", "_")] = text
    return values

"""From the flags of `nsp train` to the settings of a run, and the weights that it starts from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsp_cli.errors import UsageError
from nsp_cli.model.spec import Task
from nsp_cli.system.arguments import check_value, hint_of

if TYPE_CHECKING:
    from nsp_cli.model.spec import ModelSpec
    from nsp_cli.training import TrainSettings

SCRATCH = "scratch"


_FIXED = {"channels"}
"""Arguments of networks that nobody chooses: photos have three channels."""


@dataclass(frozen=True)
class Choices:
    """What was asked for; None and what is missing is left to the preset.

    Attributes
    ----------
    start : weights, `SCRATCH`, or None for those that ship unless something here changes the network
    run : fields of `TrainSettings`; own : settings of the method or arguments of the network
    """

    method: str | None = None
    preset: str = "photographer"
    start: str | None = None
    network: str | None = None
    steps: int | None = None
    minutes: float | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    def settle(self) -> tuple[TrainSettings, Path | None]:
        """Resolve the settings and the initial weights (None for random ones). Raises `UsageError`, `ModelError`."""
        from nsp_cli.model.checkpoint import load_model
        from nsp_cli.training import find_preset

        begin = self._starting_weights()
        spec = None if begin is None else load_model(begin)[1]
        method = self.method or ("nsp" if spec is None else spec.method)
        settings = find_preset(method, self.preset).with_budget(self.steps, self.minutes)
        if spec is not None:
            settings = _going_on_from(spec, settings, with_its_settings=self.method is None)
        if self.network not in (None, settings.network):
            settings = replace(settings, network=self.network, network_args={})
        settings = with_own(replace(settings, **self.run), self.own)
        if settings.method_args.get("strategy") == "canonical" and {"stride", "targets"} & set(self.own):
            raise UsageError("--stride and --targets are of NSP's own pairs; choose them with --strategy consecutive.")
        return settings, begin

    def _starting_weights(self) -> Path | None:
        from nsp_cli.model import registry

        if self.start == SCRATCH or (self.start is None and self._changes_the_network()):
            return None
        # The denoiser's own weights; but settings without a --method are NSP's, and so are the weights for shuffling.
        return registry.resolve(self.start, Task.SHUFFLE if self.own else Task.DENOISE)

    def _changes_the_network(self) -> bool:
        from nsp_cli.networks import arguments_of
        from nsp_cli.training import PHOTOGRAPHER, find_preset

        if self.method is not None or self.network is not None or self.preset != PHOTOGRAPHER:
            return True
        return bool(set(self.own) & set(arguments_of(find_preset("nsp", self.preset).settings.network)))


def _going_on_from(spec: ModelSpec, settings: TrainSettings, *, with_its_settings: bool) -> TrainSettings:
    """Derive settings for fine-tuning: the weights' network and method settings, a third of the learning rate."""
    from nsp_cli.methods import build_method

    prescribed = build_method(spec.method, spec.method_args).network_args
    return replace(
        settings,
        network=spec.network,
        network_args={key: value for key, value in spec.network_args.items() if key not in prescribed},
        method_args=dict(spec.method_args) if with_its_settings else settings.method_args,
        lr=settings.lr / 3,
    )


def with_own(settings: TrainSettings, own: Mapping[str, Any]) -> TrainSettings:
    """Give each value to the method if it has a setting of that name, else to the network.

    Raises
    ------
    UsageError : neither has one, or it takes another kind of value
    """
    from nsp_cli.methods import METHODS, build_method, settings_of
    from nsp_cli.networks import NETWORKS, arguments_of

    of_method = settings_of(settings.method)
    decided = {*_FIXED, *build_method(settings.method, {}).network_args}
    of_network = {key: value for key, value in arguments_of(settings.network).items() if key not in decided}
    method_args, network_args = dict(settings.method_args), dict(settings.network_args)
    for name, value in own.items():
        if name in of_method:
            method_args[name] = _checked(name, value, of_method[name], METHODS[settings.method])
        elif name in of_network:
            network_args[name] = _checked(name, value, of_network[name], NETWORKS[settings.network])
        else:
            raise UsageError(
                f"There is no setting '{name}' here: the method {settings.method} has {_listed(of_method)}, "
                f"and the network {settings.network} has {_listed(of_network)}."
            )
    build_method(settings.method, method_args)  # settings that contradict each other
    return replace(settings, method_args=method_args, network_args=network_args)


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
    """`--set NAME=VALUE`, once or several times; VALUE is JSON, or else text. Raises `UsageError`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--set needs NAME=VALUE, as in --set blind=2, got '{pair}'.")
        try:
            values[name.replace("-", "_")] = json.loads(text)
        except ValueError:
            values[name.replace("-", "_")] = text
    return values

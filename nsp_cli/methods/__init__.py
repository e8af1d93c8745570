"""The training methods: one file each, with pairs, loss, inference pipeline and presets; see `Method`.

To add a method:

1. write a file in this folder with a class that has the members of the protocol `Method` (`base.py`);
2. import it here and give it a line of `REGISTERED`: the help texts, `nsp train --method list` and the tests of all
   methods follow this list;
3. write `tests/methods/test_NAME.py` with its own tests, `CASES` for the contract of all methods (`test_contract.py`)
   and `TRIALS` (`test_sanity.py`), see `tests/methods/cases.py`;
4. add a row and a section to `docs/methods.md`, and a row of its table of papers for each preset `paper…`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from nsp_cli.errors import ModelError, UsageError
from nsp_cli.methods.amsnet import AMSNet
from nsp_cli.methods.apbsn import APBSN
from nsp_cli.methods.apr import APR
from nsp_cli.methods.base import Method, Pipeline
from nsp_cli.methods.nsp import NSP, STRATEGIES
from nsp_cli.methods.preset_settings import PHOTOGRAPHER, Preset
from nsp_cli.methods.rd import RD
from nsp_cli.methods.sdap import SDAP
from nsp_cli.methods.simulated import Simulated
from nsp_cli.methods.subimages import SubImages
from nsp_cli.networks import WITH_BLIND_SPOT
from nsp_cli.system.arguments import check_arguments

__all__ = [
    "METHODS",
    "PHOTOGRAPHER",
    "REGISTERED",
    "STRATEGIES",
    "Method",
    "Pipeline",
    "Preset",
    "SubImages",
    "build_method",
    "check_network",
    "settings_of",
]

REGISTERED: tuple[type[Method], ...] = (
    NSP,
    APR,
    RD,
    Simulated,
    APBSN,
    SDAP,
    AMSNet,
    SubImages,
)
"""The methods of `--method`, in the order of its help."""

METHODS: dict[str, Callable[..., Method]] = {method.name: method for method in REGISTERED}


def settings_of(name: str) -> dict[str, Any]:
    """List the settings of a method with their defaults. Raises `ModelError` for an unknown name."""
    _check(name)
    return {key: setting.default for key, setting in signature(METHODS[name]).parameters.items()}


def build_method(name: str, arguments: Mapping[str, Any]) -> Method:
    """Make a method from its settings.

    Raises
    ------
    ModelError
        The name or a setting is not known, or a value has another type or is out of bounds.
    UsageError
        Settings contradict each other.
    """
    _check(name)
    try:
        check_arguments(METHODS[name], arguments)
    except ValueError as error:
        raise ModelError(f"The method '{name}' does not take these settings: {error}.") from error
    return METHODS[name](**arguments)


def check_network(method: str, network: str) -> None:
    """Raise `UsageError` for a network that the method does not train, such as one without the blind spot it needs."""
    networks = build_method(method, {}).networks
    if network not in networks:
        kind = "with" if set(networks) <= set(WITH_BLIND_SPOT) else "without"
        raise UsageError(
            f"The method '{method}' trains networks {kind} a blind spot ({', '.join(networks)}), got '{network}'; use "
            f"`network={networks[0]}`."
        )


def _check(name: str) -> None:
    if name not in METHODS:
        raise ModelError(f"There is no method '{name}'; nsp has {', '.join(METHODS)}.")

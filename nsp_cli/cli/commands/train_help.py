"""The registered methods and networks in the help of `nsp train`."""

from __future__ import annotations

from nsp_cli.cli.common_flags import either

METHODS, NETWORKS = "{methods}", "{networks}"
"""Places in help texts that `registered` fills in."""


def registered(text: str) -> str:
    """Fill the registered methods and networks into a help text. Importing them takes a second, so it is done late."""
    from nsp_cli import networks
    from nsp_cli.methods import REGISTERED

    teachers = [method.name for method in REGISTERED if method.needs_teachers]
    clean = [method.name for method in REGISTERED if method.needs_clean_photos]
    noisy = [method.name for method in REGISTERED if method.name not in (*teachers, *clean)]
    methods = (
        f"{either(noisy)} (on noisy photos), {either(teachers)} (on outputs of --teacher models), "
        f"or {either(clean)} (on clean photos)"
    )
    return text.replace(METHODS, methods).replace(NETWORKS, either(networks.NETWORKS))

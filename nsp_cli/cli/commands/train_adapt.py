"""`nsp train --adapt`: which way of adapting to noisy photos, and the flags and weights that it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nsp_cli.errors import UsageError

if TYPE_CHECKING:
    from nsp_cli.cli.commands.train_flags import TrainFlags

SCRATCH = "scratch"


class Adaptation(StrEnum):
    """Choices of `--adapt`."""

    CAMERAS = "cameras"
    NSP = "nsp"


def with_adaptation(flags: TrainFlags) -> TrainFlags:
    """Return the flags with the method and the settings that `--adapt` stands for; as they are without it.

    Raises
    ------
    UsageError
        The other flags or the initial weights do not go with it.
    """
    from nsp_cli.methods import RD, SubImages, build_method
    from nsp_cli.model import registry
    from nsp_cli.model.checkpoint import read_spec
    from nsp_cli.networks import WITH_BLIND_SPOT

    if flags.adapt is None:
        return flags
    if flags.method or flags.network or flags.start == SCRATCH:
        raise UsageError(
            "`adapt` fine-tunes the network and the weights of a model by a method of its own; leave out `method`, "
            "`network` and --from scratch."
        )
    start = registry.resolve(registry.PLAIN if flags.start is None else flags.start)
    spec = read_spec(start)
    if spec.network in WITH_BLIND_SPOT:
        raise UsageError(
            f"{start.stem} has a blind spot and trains on noisy photos by its own method, {spec.method}; leave out "
            "`adapt`."
        )
    learned_from_pairs = build_method(spec.method, spec.method_args).needs_clean_photos
    if flags.adapt is Adaptation.CAMERAS:
        if not learned_from_pairs:
            raise UsageError(
                f"{start.stem} was not trained with simulated cameras but by the method {spec.method}; use --adapt nsp."
            )
        return flags
    if not (learned_from_pairs or spec.method in (RD.name, SubImages.name)) or spec.network_args.get("scale", 1) != 1:
        raise UsageError(
            f"--adapt nsp is for models that denoise by one pass over the photo, such as fast; {start.stem} does not."
        )
    inference_settings = [name for name in ("ensemble", "coarse_chroma") if name in spec.method_args]
    others = [f"{name}={json.dumps(spec.method_args[name])}" for name in inference_settings] + (flags.others or [])
    return replace(flags, method=SubImages.name, start=str(start), others=others)

"""Named starting points for training, for each method its own; every flag still overrides them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsp_cli.errors import UsageError
from nsp_cli.training.settings import TrainSettings

PHOTOGRAPHER = "photographer"
"""Every method has a preset of this name: what fits thirty photos, a CPU and half an hour."""


@dataclass(frozen=True)
class Preset:
    """A named starting point."""

    settings: TrainSettings
    summary: str

    def with_budget(self, steps: int | None, minutes: float | None) -> TrainSettings:
        """The preset's settings, its budget replaced where one is given."""
        if steps is None and minutes is None:
            return self.settings
        return replace(self.settings, steps=steps, minutes=minutes)


PRESETS: dict[str, dict[str, Preset]] = {
    "nsp": {
        PHOTOGRAPHER: Preset(
            TrainSettings(
                method="nsp",
                method_args={"strategy": "canonical", "inputs": 1, "canonical_strides": (3, 4)},
                network="dbsn",
                network_args={"width": 64, "depth": 5, "residual": True},
                minutes=30.0,
                patch=240,
            ),
            "a small network with a blind residual on canonical pairs: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            TrainSettings(
                method="nsp",
                method_args={"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 0},
                network="dbsn",
                network_args={"width": 128, "depth": 9, "residual": False},
                steps=750 * 400,
                batch=16,
                patch=160,
                lr=1e-4,
                optimizer="adam",
                weight_decay=0.0,
                warmup=0,
                schedule="constant",
                ema=0.0,
                clip=0.0,
                save_every=400,
            ),
            "NSP as published: DBSN of 3.75 M parameters, 750 epochs of 400 steps; for a GPU",
        ),
    },
    "simulated": {
        PHOTOGRAPHER: Preset(
            TrainSettings(
                method="simulated",
                network="resunet",
                minutes=90.0,
                patch=256,
                ema=0.999,
            ),
            "the recipe of the weights `fast`: clean photos, no GPU, an hour and a half",
        ),
    },
}


def find_preset(method: str, name: str) -> Preset:
    """Raise `UsageError` for a method or a preset that there is not."""
    if method not in PRESETS:
        raise UsageError(f"--method must be one of {', '.join(PRESETS)}, got '{method}'.")
    if name not in PRESETS[method]:
        raise UsageError(f"--preset of {method} must be one of {', '.join(PRESETS[method])}, got '{name}'.")
    return PRESETS[method][name]

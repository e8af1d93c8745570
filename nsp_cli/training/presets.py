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


_AS_APR_RD = TrainSettings(
    steps=1,
    batch=8,
    lr=3e-4,
    optimizer="adam",
    weight_decay=0.0,
    warmup=0,
    schedule="cosine",
    ema=0.0,
    clip=0.0,
)
"""What APR and RD have in common as published (AAAI 2025)."""


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
    "apr": {
        PHOTOGRAPHER: Preset(
            TrainSettings(method="apr", network="atbsn", network_args={"width": 16}, minutes=30.0, batch=4, patch=96),
            "AT-BSN at a third of its width: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(_AS_APR_RD, method="apr", network="atbsn", steps=400_000, patch=256),
            "APR as published: AT-BSN of 1.27 M parameters, 400,000 steps; for a GPU",
        ),
    },
    "rd": {
        PHOTOGRAPHER: Preset(
            TrainSettings(method="rd", network="unet", minutes=30.0, batch=4, patch=128),
            "the published student of 1.0 M parameters: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(_AS_APR_RD, method="rd", network="unet", steps=200_000, patch=128),
            "RD as published: a U-Net of 1.0 M parameters, 200,000 steps; for a GPU",
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

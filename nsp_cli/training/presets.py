"""Named starting points for training, for each method its own; every flag still overrides them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nsp_cli.errors import UsageError
from nsp_cli.methods import build_method
from nsp_cli.training.config import TrainSettings

PHOTOGRAPHER = "photographer"
"""Every method has a preset of this name: what fits thirty photos, a CPU and half an hour."""


@dataclass(frozen=True)
class Preset:
    """A named starting point."""

    settings: TrainSettings
    summary: str

    def with_budget(self, steps: int | None, minutes: float | None) -> TrainSettings:
        """Return the preset's settings, with the budget replaced if one is given."""
        if steps is None and minutes is None:
            return self.settings
        return replace(self.settings, steps=steps, minutes=minutes)


_PUBLISHED = TrainSettings(
    steps=1,
    optimizer="adam",
    weight_decay=0.0,
    warmup=0,
    ema=0.0,
    clip=0.0,
    precision="fp32",
    validation_every=0,
)
"""What all papers share: Adam, float32, and every photo is trained on."""

_AS_APR_RD = replace(_PUBLISHED, batch=8, lr=3e-4, schedule="cosine")
"""What APR and RD have in common as published (AAAI 2025)."""

_NSP_SCHEDULE = replace(
    _PUBLISHED,
    method="nsp",
    network="dbsn",
    steps=750 * 400,
    batch=16,
    patch=160,
    lr=1e-4,
    schedule="constant",
    save_every=400,
)
"""The schedule of the NSP paper, also for methods whose own number of steps is not published."""

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
            replace(
                _NSP_SCHEDULE,
                method_args={"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 0},
                network_args={"width": 128, "depth": 9, "residual": False},
            ),
            "NSP as published: DBSN of 3.75 M parameters, 750 epochs of 400 steps; for a GPU",
        ),
        "paper-tbsn": Preset(
            replace(
                _NSP_SCHEDULE,
                method_args={"strategy": "consecutive", "stride": 5, "targets": 1, "inputs": 1},
                network="tbsn",
                batch=4,
                patch=640,
                lr=3e-4,
            ),
            "NSP with TBSN of 12.8 M parameters as released, but on values of 0 to 1 and not 0 to 255; for a large GPU",
        ),
    },
    "apr": {
        PHOTOGRAPHER: Preset(
            TrainSettings(method="apr", network="atbsn", network_args={"width": 16}, minutes=30.0, batch=4, patch=96),
            "AT-BSN at a third of its width: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(
                _AS_APR_RD,
                method="apr",
                method_args={"blind": 1, "margin": 16},
                network="atbsn",
                steps=400_000,
                patch=256,
            ),
            "APR as published: AT-BSN of 1.27 M parameters, 400,000 steps, k = 1 at test time; for a GPU",
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
                network_args={"noise_level": True},
                minutes=90.0,
                patch=256,
                optimizer="muon",
                lr=2e-3,
                ema=0.999,
            ),
            "clean photos, no GPU, an hour and a half; the weights `fast` had nearly fourteen of one core",
        ),
    },
    "apbsn": {
        PHOTOGRAPHER: Preset(
            TrainSettings(
                method="apbsn",
                method_args={"inputs": 2},
                network="dbsn",
                network_args={"width": 64, "depth": 5, "residual": True, "variant": "apbsn"},
                minutes=30.0,
                patch=160,
            ),
            "a small AP-BSN with a blind residual, two of 25 sub-images a step: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(
                _PUBLISHED,
                method="apbsn",
                method_args={
                    "stride": 5,
                    "test_stride": 2,
                    "inputs": 0,
                    "layout": "mosaic",
                    "train_layout": "mosaic",
                    "pd_pad": 2,
                    "refine": 8,
                    "refine_pad": 2,
                    "refine_masks": "channel",
                    "extend": "zeros",
                },
                network="dbsn",
                network_args={"width": 128, "depth": 9, "residual": False, "variant": "apbsn"},
                steps=61_000,
                batch=8,
                patch=120,
                lr=1e-4,
                schedule="step",
                lr_step=24_400,
                save_every=400,
            ),
            "AP-BSN as released: 3.66 M, PD 5 to 2, R3, 61,000 steps of batch 8, lr / 10 every 8 epochs; for a GPU",
        ),
    },
    "sdap": {
        PHOTOGRAPHER: Preset(
            TrainSettings(
                method="sdap",
                method_args={"inputs": 2},
                network="dbsn",
                network_args={"width": 64, "depth": 5, "residual": True},
                minutes=30.0,
                patch=160,
            ),
            "a small SDAP with a blind residual, two of 25 pairs a step: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(
                _NSP_SCHEDULE,
                method="sdap",
                method_args={"stride": 5, "test_stride": 2, "inputs": 0},
                network_args={"width": 128, "depth": 9, "residual": False, "variant": "apbsn"},
            ),
            "SDAP as released: AP-BSN's network (3.66 M), batch 16, patch 160, lr 1e-4; steps are NSP's; for a GPU",
        ),
    },
    "amsnet": {
        PHOTOGRAPHER: Preset(
            TrainSettings(
                method="amsnet",
                method_args={"inputs": 4},
                network="resunet",
                minutes=30.0,
                patch=160,
            ),
            "a fast plain network, four of 25 sub-images a step: 30 photos, no GPU, half an hour",
        ),
        "paper": Preset(
            replace(
                _NSP_SCHEDULE,
                method="amsnet",
                method_args={"stride": 5, "test_stride": 2, "inputs": 0},
                network="n2nunet",
                batch=4,
                optimizer="adamw",
                orientations="flips",
            ),
            "AMSNet with its U-Net of 7.94 M parameters, AdamW 1e-4 without decay, flips, patch and batch as released; "
            "steps are NSP's; for a GPU",
        ),
    },
}


def wants_clean(settings: TrainSettings) -> bool:
    """Whether the method learns from clean photos; noisy ones then need `training.adapt` first."""
    return build_method(settings.method, settings.method_args).wants_clean


def find_preset(method: str, name: str) -> Preset:
    """Raise `UsageError` for a method or a preset that there is not."""
    if method not in PRESETS:
        raise UsageError(f"--method must be one of {', '.join(PRESETS)}, got '{method}'.")
    if name not in PRESETS[method]:
        raise UsageError(f"--preset of {method} must be one of {', '.join(PRESETS[method])}, got '{name}'.")
    return PRESETS[method][name]

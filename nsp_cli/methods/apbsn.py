"""AP-BSN, asymmetric PD and a blind-spot network (CVPR 2022): predict every pixel from its sub-image's other pixels.

Pairs
    PD by s = 5: pixels of a sub-image are so far apart in the photo that a camera's noise is no longer correlated.
    A sub-image is input and target at once, which only trains a network if it is blind to the pixel that it
    predicts.
Loss
    L1 between the network's output and its input, mean over all sub-images.
Test time
    PD by 2, *asymmetric*: a smaller stride loses less detail, and the noise that is left correlated costs less than
    that. Then R3 (`ops.refine`).

The released program lays the sub-images side by side in one picture, in training and at test time, with zeros around
each. `train_layout`, `layout` and `pd_pad` are settings here: "batch" (one by one) is the default, since tiles then
agree with the whole photo up to its border, and no output depends on the photo's far side. See `Layout`. With the
settings of the `paper` preset training and test time are the released program's, but for the random masks of R3: they
are fixed here (`ops.refine`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.base import Border, Inputs, Passes, SelfSupervised, Stride, check_settings
from nsp_cli.methods.pd_pipeline import Layout, PDPipeline, draw_subs, run_on_subs, same_size
from nsp_cli.methods.preset_settings import PHOTOGRAPHER, PUBLISHED, Preset
from nsp_cli.model.spec import Task
from nsp_cli.ops.padding import cut_to_multiple
from nsp_cli.ops.pd import pd_split
from nsp_cli.ops.refine import PASSES
from nsp_cli.system.arguments import OneOf


@dataclass(frozen=True)
class APBSN(SelfSupervised):
    """The method `apbsn` trains a blind-spot network on the sub-images of PD, each predicted from itself.

    Attributes
    ----------
    stride, test_stride : int
        PD strides in training and at test time.
    inputs : int
        How many of a photo's s² sub-images a step uses, drawn at random; 0 for all.
    layout, train_layout : str
        "batch" or "mosaic", at test time and in training, see `Layout`; "mosaic" trains on all sub-images.
    pd_pad : int
        Zeros around each sub-image, in pixels; 2 as released.
    refine : int
        Passes of R3 at test time, 0 for none; each takes as long as the network without it.
    refine_pad : int
        Pixels by which each pass extends the photo by reflection on all four sides; 2 as released.
    refine_masks : str
        Whether R3 puts back pixels ("photo") or, as released, values of each channel by itself ("channel").
    extend : str
        Pixels by which photos are extended to multiples of `test_stride`: "reflect", or as released "zeros".
    """

    name: ClassVar[str] = "apbsn"
    summary: ClassVar[str] = "learn each sub-image from itself with a blind-spot network (AP-BSN, CVPR 2022)"
    networks = ("dbsn", "tbsn")
    presets: ClassVar[Mapping[str, Preset]] = {
        PHOTOGRAPHER: Preset(
            "a small AP-BSN with a blind residual, two of 25 sub-images a step: 30 photos, no GPU, half an hour",
            {
                "method_args": {"inputs": 2},
                "network": "dbsn",
                "network_args": {"width": 64, "depth": 5, "residual": True, "variant": "apbsn"},
                "minutes": 30.0,
                "patch": 160,
            },
        ),
        "paper": Preset(
            "AP-BSN as released: 3.66 M parameters, values of 0 to 255, PD 5 to 2, R3, 61,000 steps of batch 8, lr / "
            "10 every 8 epochs; for a GPU",
            {
                **PUBLISHED,
                "method_args": {
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
                "network": "dbsn",
                "network_args": {
                    "width": 128,
                    "depth": 9,
                    "residual": False,
                    "variant": "apbsn",
                    "value_range": 255.0,
                },
                "steps": 61_000,
                "batch": 8,
                "patch": 120,
                "lr": 1e-4,
                "schedule": "step",
                "lr_step": 24_400,
                "save_every": 400,
            },
        ),
        "paper-tbsn": Preset(
            "the original TBSN as released: values of 0 to 255, 100,000 steps of batch 4, one sub-image of each crop; "
            "for a large GPU",
            {
                **PUBLISHED,
                "method_args": {"stride": 5, "test_stride": 2, "inputs": 1, "refine": 8, "refine_masks": "channel"},
                "network": "tbsn",
                "network_args": {"statistics": "photo", "tail": "plain", "value_range": 255.0},
                "steps": 100_000,
                "batch": 4,
                "patch": 640,
                "lr": 3e-4,
                "optimizer": "adamw",
                "weight_decay": 0.01,
                "schedule": "step",
                "lr_step": 40_000,
                "save_every": 400,
            },
        ),
    }

    stride: Stride = 5
    test_stride: Stride = 2
    inputs: Inputs = 0
    layout: Annotated[str, OneOf(tuple(Layout))] = Layout.BATCH
    train_layout: Annotated[str, OneOf(tuple(Layout))] = Layout.BATCH
    pd_pad: Border = 0
    refine: Passes = PASSES
    refine_pad: Border = 0
    refine_masks: Annotated[str, OneOf(("photo", "channel"))] = "photo"
    extend: Annotated[str, OneOf(("reflect", "zeros"))] = "reflect"

    def __post_init__(self) -> None:
        check_settings(self)
        if self.train_layout == Layout.MOSAIC and self.inputs:
            raise UsageError(f"With train_layout mosaic, inputs must be 0 (all sub-images), got {self.inputs}.")

    @property
    def network_args(self) -> dict[str, int]:
        """Arguments that the method prescribes to its network."""
        return {"scale": 1}

    @property
    def smallest_patch(self) -> int:
        """The side of the smallest training patch in pixels: sub-images of eight pixels."""
        return 8 * self.stride

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """Compute the mean L1 loss of a batch of noisy photos (B, C, P, P) in [0, 1]."""
        same_size(network)
        layout = Layout(self.train_layout)
        if layout is Layout.MOSAIC:
            subs = pd_split(cut_to_multiple(batch, self.stride), self.stride)
        else:
            subs = draw_subs(batch, self.stride, self.inputs, generator).unsqueeze(0)
        return (run_on_subs(network, subs, self.stride, layout, self.pd_pad) - subs).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> PDPipeline:
        """Build the inference pipeline, a single module for the torch backend and for export."""
        return PDPipeline(
            network,
            self.test_stride,
            task,
            channels,
            layout=Layout(self.layout),
            passes=self.refine,
            masks_by_channel=self.refine_masks == "channel",
            pd_pad=self.pd_pad,
            refine_pad=self.refine_pad,
            zeros=self.extend == "zeros",
        )

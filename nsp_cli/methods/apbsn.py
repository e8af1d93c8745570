"""AP-BSN, asymmetric PD and a blind-spot network (CVPR 2022): predict every pixel from its sub-image's other pixels.

Pairs
    PD by s = 5: pixels of a sub-image are so far apart in the photo that a camera's noise is no longer correlated.
    A sub-image is input and target at once, which a network can only be taught if it is blind to the pixel that it
    predicts.
Loss
    L1 between the network's output and its input, mean over all sub-images.
Test time
    PD by 2, *asymmetric*: a smaller stride loses less detail, and the noise that is left correlated costs less than
    that. Then R3 (`ops.refine`).

The released program lays the sub-images side by side in one picture, in training and at test time. Here training has
them one by one, and `layout` chooses for the test: "batch" (one by one) is the default, since tiles then agree with the
whole photo up to its border, and no pixel sees the photo's far side. See `Layout`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from nsp_cli.errors import UsageError
from nsp_cli.methods.base import Inputs, Passes, SelfSupervised, Stride
from nsp_cli.methods.pd_pipeline import DecomposedPipeline, Layout, draw_subs, same_size
from nsp_cli.model.spec import Task
from nsp_cli.ops.refine import PASSES


@dataclass(frozen=True)
class APBSN(SelfSupervised):
    """The settings of the method.

    Attributes
    ----------
    stride, test_stride : of the PD in training and at test time
    inputs : how many of a photo's s² sub-images a step uses, drawn at random; 0 for all
    layout : "batch" or "mosaic", at test time
    refine : passes of R3 at test time, 0 for none; each takes as long as the network without it
    """

    stride: Stride = 5
    test_stride: Stride = 2
    inputs: Inputs = 0
    layout: str = Layout.BATCH
    refine: Passes = PASSES

    def __post_init__(self) -> None:
        if min(self.stride, self.test_stride) < 1 or min(self.inputs, self.refine) < 0:
            raise UsageError("AP-BSN needs stride and test_stride of at least 1, inputs and refine of at least 0.")
        if self.layout not in tuple(Layout):
            raise UsageError(f"The layout must be one of {', '.join(Layout)}, got '{self.layout}'.")

    @property
    def network_args(self) -> dict[str, int]:
        return {"scale": 1}

    @property
    def smallest_patch(self) -> int:
        """The side of the smallest training patch in pixels: sub-images of eight pixels."""
        return 8 * self.stride

    def loss(self, network: nn.Module, batch: Tensor, generator: Generator) -> Tensor:
        """The mean L1 of a batch of noisy photos (B, C, P, P) in [0, 1], a scalar."""
        same_size(network)
        subs = draw_subs(batch, self.stride, self.inputs, generator)
        return (network(subs) - subs).abs().mean()

    def pipeline(self, network: nn.Module, task: Task, channels: int = 3) -> DecomposedPipeline:
        return DecomposedPipeline(
            network, self.test_stride, task, channels, layout=Layout(self.layout), passes=self.refine
        )

"""Monitoring of a run: scalars, validation loss, previews, and PSNR if clean photos are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from nsp_cli.errors import InputError, NoInputError, OutputError
from nsp_cli.evaluation.metrics import psnr
from nsp_cli.image import Frame, from_unit, read_srgb, to_unit, write
from nsp_cli.methods import Method
from nsp_cli.model.spec import Task
from nsp_cli.system.files import sentence
from nsp_cli.training.config import TrainConfig
from nsp_cli.training.data import Open, StepBatches

_CROP = 256  # pixels: side of the middle of a photo in previews and for the PSNR of pairs
_SHOWN = 3  # photos in a preview
_VALIDATION_SEED = 20260101  # always the same, so that the losses of runs can be compared


class Monitor:
    """Validate the network during a run. The results are reported and do not select weights.

    Parameters
    ----------
    folder : Path
        Folder of the TensorBoard scalars and of `previews/`.
    settings, method
        Configuration and method of the run.
    training : sequence of Path
        Photos that are trained on; previews show them if there are no validation photos.
    validation : sequence of Path
        Noisy photos that are not trained on, or none.
    pairs : sequence of tuple[Path, Path]
        (noisy, clean) files, or none.
    open : Open
        See `StepBatches`.
    shown : sequence of Path
        Photos for the previews, before and after denoising; by default those of `validation`.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainConfig,
        method: Method,
        *,
        training: Sequence[Path],
        validation: Sequence[Path],
        pairs: Sequence[tuple[Path, Path]],
        open: Open,
        shown: Sequence[Path] = (),
    ) -> None:
        self.previews = folder / "previews"
        try:
            self.previews.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(sentence(error)) from error
        self.pairs = pairs
        self.writer = _scalar_writer(folder)
        self.method = method
        self.validation = _crops(validation, settings, method, open)
        choices = (_middles(photos) for photos in (shown, validation, training))
        self.shown = next((middles for middles in choices if middles is not None), None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars of a step to TensorBoard."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    @torch.no_grad()
    def validate(self, step: int, network: nn.Module, device: torch.device) -> None:
        """Write the scalars and the preview of `network` after `step` steps."""
        network.eval()
        denoise = self.method.pipeline(network, Task.DENOISE)
        if self.validation is not None:
            batch = self.validation.to(device)
            loss = self.method.loss(network, batch, Generator(device).manual_seed(_VALIDATION_SEED))
            self.scalars(step, {"loss/held-out": float(loss)})
        if self.shown is not None:
            noisy = self.shown.to(device)
            strip = torch.cat([torch.cat(list(noisy), 2), torch.cat(list(denoise(noisy).clamp(0, 1)), 2)], 1)
            write(Frame(_eight(strip[None])), self.previews / f"{step:07d}.png", overwrite=True)
        if self.pairs:
            values = [
                psnr(_eight(denoise(_middle(noisy).to(device))), _eight(_middle(clean))) for noisy, clean in self.pairs
            ]
            self.scalars(step, {"psnr": float(np.mean(values))})
        self.writer.flush()
        network.train()


def _crops(photos: Sequence[Path], settings: TrainConfig, method: Method, open: Open) -> Tensor | None:
    """Draw crops that are the same during a whole run; None if no photo can be used."""
    try:
        return StepBatches(
            photos,
            patch=settings.patch,
            batch=8,
            steps=1,
            seed=_VALIDATION_SEED,
            cache_bytes=10**8,
            make_example=method.make_example,
            open=open,
        )[0]
    except NoInputError:
        return None


def _middles(photos: Sequence[Path]) -> Tensor | None:
    """Return the middles of the first `_SHOWN` photos that can be read as (N, 3, h, w), or None where there is none."""
    middles: list[Tensor] = []
    for path in photos:
        with suppress(InputError):
            middles.append(_middle(path))
        if len(middles) == _SHOWN:
            break
    if not middles:
        return None
    height, width = (min(middle.shape[side] for middle in middles) for side in (2, 3))
    return torch.cat([middle[..., :height, :width] for middle in middles])


def _middle(path: Path) -> Tensor:
    """Read the centre crop of a photo as (1, 3, h, w)."""
    unit: NDArray[np.float32] = to_unit(read_srgb(path))
    y, x = (max(side - _CROP, 0) // 2 for side in unit.shape[:2])
    crop = np.broadcast_to(unit, (*unit.shape[:2], 3))[y : y + _CROP, x : x + _CROP]
    return torch.from_numpy(crop.copy()).permute(2, 0, 1).unsqueeze(0)


def _eight(batch: Tensor) -> NDArray[np.uint8]:
    """Convert the first photo of a batch to (H, W, 3) uint8."""
    return np.ascontiguousarray(from_unit(batch[0].permute(1, 2, 0).float().cpu().numpy(), np.uint8), np.uint8)


def _scalar_writer(folder: Path):
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder))

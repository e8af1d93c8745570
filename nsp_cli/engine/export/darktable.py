"""Packages for darktable's neural restore: a zip file with `config.json` and a graph of fixed shape.

The format is that of the darktable AI SDK: one folder, named as the model's id, with `config.json` and `model.onnx`
(`model_x2.onnx` or `model_x4.onnx` for a model that enlarges). darktable cuts a photo into tiles that overlap by 64
pixels, and has one constant for all further inputs; a noise-conditional model therefore has a package for each of three
noise levels.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from nsp_cli.engine.export.onnx_file import TOLERANCE
from nsp_cli.engine.export.tracing import trace
from nsp_cli.errors import ModelError, TargetExistsError
from nsp_cli.methods import Pipeline
from nsp_cli.methods.coarse_chroma import CoarseChroma
from nsp_cli.model.registry import ModelInfo
from nsp_cli.networks.twoscale import TwoScale
from nsp_cli.ops.noise_level import append_noise_level
from nsp_cli.system.atomic import write_atomically
from nsp_cli.system.files import exists
from nsp_cli.system.version import __version__

SIDE = 768
"""Pixels along a side of a tile."""
OVERLAP = 64
"""Pixels that neighbouring tiles of darktable share on each side."""
LEVELS = {"low": 3 / 255, "mid": 7 / 255, "high": 14 / 255}
"""Standard deviation of the luma noise (white = 1) of each package. Above 15 of 255 the error at darktable's seams may
exceed one level of 255."""

_GRAPH_NAMES = {1: "model.onnx", 2: "model_x2.onnx", 4: "model_x4.onnx"}
"""Names of the graph in a package, by the factor of enlargement."""


def packages(pipeline: Pipeline, target: Path) -> dict[Path, float | None]:
    """Return the files that `export` writes, each with its noise level; None for a model that has no such input."""
    if not pipeline.spec.noise_level:
        return {target: None}
    return {target.with_name(f"{target.stem}-{name}{target.suffix}"): level for name, level in LEVELS.items()}


def export(
    pipeline: Pipeline, info: ModelInfo, target: Path, *, overwrite: bool = False
) -> Iterator[tuple[Path, float]]:
    """Write the packages of a model; yield each file and its largest difference from torch.

    Parameters
    ----------
    pipeline : Pipeline
        The model with its task. The coarse chroma is left out: it needs a wider overlap than darktable's.
    info : ModelInfo
        Description of its weights, for darktable's model card.
    target : Path
        A file that ends in .dtmodel; noise-conditional models write three, `STEM-low.dtmodel` and so on.
    overwrite : bool
        Whether to replace files that exist.

    Raises
    ------
    TargetExistsError
        A file exists; none is written then.
    ModelError
        onnxruntime and torch disagree, the model enlarges by a factor that darktable does not have, or its network is
        for two scales.
    OutputError
        A file cannot be written.
    UnavailableError
        onnx is not installed.
    """
    scale = pipeline.spec.scale
    if scale not in _GRAPH_NAMES:
        raise ModelError(f"darktable enlarges by 2 or 4, and this model by {scale}.")
    files = packages(pipeline, target)
    there = next((path for path in files if exists(path)), None)
    if there is not None and not overwrite:
        raise TargetExistsError(f"{there} exists already; choose another name, or allow replacing it")
    pipeline = pipeline.pipeline if isinstance(pipeline, CoarseChroma) else pipeline
    if any(isinstance(module, TwoScale) for module in cast(nn.Module, pipeline).modules()):
        raise ModelError(
            f"darktable's tiles overlap by {OVERLAP} pixels, and a network for two scales needs more; use `model=fast`."
        )
    for path, level in files.items():
        module = pipeline if level is None else FixedLevel(pipeline, level)
        assert isinstance(module, nn.Module)
        example = torch.from_numpy(np.random.default_rng(0).random((1, pipeline.spec.channels, SIDE, SIDE), np.float32))
        graph: bytes = trace(module, {"photo": example}).SerializeToString()
        worst = _disagreement(module, graph, example)
        if not worst <= TOLERANCE:
            raise ModelError(
                f"onnxruntime and torch differ by {worst:.1e}, more than {TOLERANCE:.0e}; {path} is not written."
            )
        write_atomically(
            _package(path.stem, graph, _config(path.stem, info, scale, level), _GRAPH_NAMES[scale]),
            path,
            overwrite=overwrite,
        )
        yield path, worst


class FixedLevel(nn.Module):
    """A noise-conditional pipeline with one noise level for all photos."""

    def __init__(self, pipeline: Pipeline, level: float) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.level: Tensor
        self.register_buffer("level", torch.full((1,), level))

    def forward(self, photo: Tensor) -> Tensor:
        """Denoise or enlarge a photo, (1, C, H, W)."""
        return self.pipeline(append_noise_level(photo, self.level))


def _disagreement(module: nn.Module, graph: bytes, example: Tensor) -> float:
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = module(example).numpy()
    return float(np.abs(session.run(None, {"photo": example.numpy()})[0] - expected).max())


def _config(identity: str, info: ModelInfo, scale: int, level: float | None) -> dict[str, Any]:
    """Return the `config.json` of a package; `level` is the noise level, None for a model without that input."""
    strength = "" if level is None else f" for luma noise around {255 * level:.0f} of 255"
    what = "Removes camera noise" if scale == 1 else f"Removes camera noise and enlarges {scale} times"
    return {
        "id": identity,
        "name": f"nsp {info.name}" if level is None else f"nsp {info.name} ({identity.rpartition('-')[2]} noise)",
        "description": f"{what}{strength}. sRGB in and out.",
        "task": "denoise" if scale == 1 else "upscale",
        "arch": info.network or "nsp",
        "backend": "onnx",
        "version": __version__,
        "tiling": True,
        "attributes": {"input_sizes": [SIDE]},
        "model_card": {
            "author": "nsp-cli",
            "source": f"nsp export --for darktable, model {info.name}",
            "license": "Apache-2.0 (code); weights: " + (info.licence or "as the training data"),
            "training_data": info.photos,
            "training_data_license": info.licence,
        },
    }


def _package(identity: str, graph: bytes, config: dict[str, Any], name: str) -> bytes:
    """Return the zip file of a package, whose graph has a `name` by which darktable finds it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for file, data in (("config.json", json.dumps(config, indent=4, ensure_ascii=False)), (name, graph)):
            # The date of a file is the earliest that zip has, so that equal models give equal packages.
            package.writestr(zipfile.ZipInfo(f"{identity}/{file}"), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()

"""Remove camera noise from photos and enlarge noisy photos.

Trained models ship with the package; `train` adapts them to a camera with noisy photos alone.

The public names load what they need when they are first used, so that ``import nsp_cli`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nsp_cli.system.version import __version__

if TYPE_CHECKING:
    from nsp_cli.api import denoise, export, load_backend, load_model, super_resolve
    from nsp_cli.errors import NspError
    from nsp_cli.image import Frame
    from nsp_cli.model.spec import Task
    from nsp_cli.training import train

_HOMES = {
    "denoise": "api",
    "super_resolve": "api",
    "export": "api",
    "load_backend": "api",
    "load_model": "api",
    "train": "training",
    "Frame": "image",
    "NspError": "errors",
    "Task": "model.spec",
}

__all__ = [
    "Frame",
    "NspError",
    "Task",
    "__version__",
    "denoise",
    "export",
    "load_backend",
    "load_model",
    "super_resolve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nsp_cli' has no attribute '{name}'")
    return getattr(import_module(f"nsp_cli.{_HOMES[name]}"), name)

"""`nsp doctor`."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from nsp_cli.cli import common_flags
from nsp_cli.cli.console import out, plain
from nsp_cli.errors import NspError

_PACKAGES = (
    *("torch", "onnxruntime", "onnxruntime-gpu", "openvino", "numpy", "pillow", "rawpy"),
    *("opencv-python-headless", "simplejpeg", "tifffile", "safetensors", "typer", "rich"),
)
_FEATURES = ("AVX2", "AVX512F", "AVX512BF16", "AMX_BF16", "NEON")  # NumPy's names of instruction sets
_VARIABLES = ("NSP_HOME", "NSP_DEVICE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

_REMOTE = "AzureExecutionProvider"  # calls a service, and runs no model here

Section = dict[str, Any]


def doctor(as_json: common_flags.Json = False, verbose: common_flags.Verbose = False) -> None:
    """Show versions, devices, memory, folders and speed of this machine, for a bug report."""
    report: dict[str, Section] = {
        "versions": _versions(),
        "processor": _processor(),
        "memory": _memory(),
        "devices": _devices(),
        "providers": _providers(),
        "extras": _extras(),
        "folders": _folders(),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "speed": _speed(),
    }
    if as_json:
        out.print_json(json.dumps(report))
    else:
        _print(report)
    if "error" in report["speed"]:
        raise typer.Exit(1)


def _versions() -> Section:
    from nsp_cli.system.version import __version__

    found = {name: version for name in _PACKAGES if (version := _version(name)) is not None}
    return {"nsp": __version__, "python": platform.python_version(), "system": platform.platform(), **found}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> Section:
    import torch

    from nsp_cli.engine.backends.machine import cpu_has

    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "name": _processor_name(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "torch_threads": torch.get_num_threads(),
        "instructions": [feature for feature in _FEATURES if cpu_has(feature)],
    }


def _processor_name() -> str:
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> Section:
    import psutil

    from nsp_cli.system.memory import available_bytes

    return {"total_gb": _gb(psutil.virtual_memory().total), "available_gb": _gb(available_bytes())}


def _devices() -> Section:
    """Run a small convolution on each device of torch."""
    import torch

    from nsp_cli.model.spec import Device

    names = [str(Device.CPU), *(f"{Device.CUDA}:{i}" for i in range(torch.cuda.device_count()))]
    names += [str(Device.MPS)] if torch.backends.mps.is_available() else []
    return {name: _on_device(name) for name in names}


def _on_device(name: str) -> Section:
    """Describe a device of torch, and run a convolution whose result is known on it."""
    import torch

    from nsp_cli.engine.backends.device import choose_precision

    device = torch.device(name)
    about: Section = {}
    try:
        if device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            free, total = torch.cuda.mem_get_info(device)
            about = {"name": properties.name, "free_gb": _gb(free), "total_gb": _gb(total)}
        weight, photo = torch.full((4, 3, 3, 3), 0.1, device=device), torch.ones(1, 3, 16, 16, device=device)
        result = torch.nn.functional.conv2d(photo, weight)
        return {**about, "precision": str(choose_precision(device)), **_verdict(abs(result.mean().item() - 2.7) < 0.01)}
    except Exception as error:  # drivers have many ways to fail, and each is what is looked for
        return {**about, **_failure(error)}


def _providers() -> Section:
    """Run the model that ships, on a small tile, on each provider of onnxruntime."""
    import onnxruntime as ort

    return {name: _on_provider(name) for name in ort.get_available_providers() if name != _REMOTE}


def _on_provider(name: str) -> Section:
    """Run the default model's graph on a tile of 32×32 pixels by one provider."""
    import numpy as np
    import onnxruntime as ort

    from nsp_cli.model import registry
    from nsp_cli.model.spec import Task

    try:
        graph, _ = registry.shipped_graphs(registry.resolve(), Task.DENOISE)
        if graph is None:
            return {"runs": False, "error": "the default model has no ONNX graph to try it with"}
        settings = ort.SessionOptions()
        settings.log_severity_level = 4  # it prints the text of `error`
        ort.set_default_logger_severity(4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = ort.InferenceSession(graph, settings, providers=[name], enable_fallback=0)
        if name not in session.get_providers():
            return {"runs": False, "error": "onnxruntime cannot load it and would use the CPU"}
        tile = session.get_inputs()[0]
        values = np.random.default_rng(0).random((1, tile.shape[1], 32, 32), np.float32)
        (result,) = session.run(None, {tile.name: values})
        return _verdict(bool(np.isfinite(np.asarray(result)).all()))
    except Exception as error:
        return _failure(error)


def _extras() -> Section:
    """Return what is missing of each optional extra; an empty list for one that is installed."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("nsp-cli") or []:
        package, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if package and extra and package[0] != "nsp-cli":
            missing = found.setdefault(extra[1], [])
            missing += [package[0]] if _version(package[0]) is None else []
    return {
        extra: {"installed": not missing, **({"missing": missing} if missing else {})}
        for extra, missing in found.items()
    }


def _folders() -> Section:
    """Return the folders of weights and settings, and what is found in them."""
    from nsp_cli.cli.batch.profiles import config_file
    from nsp_cli.model import registry

    own = registry.home() / "weights"
    try:
        shipped = {"shipped_weights": str(registry.shipped_folder()), "default_model": registry.resolve().stem}
    except NspError as error:
        shipped = {"shipped_weights": str(error)}
    return {
        **shipped,
        "home": str(registry.home()),
        "settings": str(config_file()),
        "settings_found": config_file().is_file(),
        "own_weights": str(own),
        "own_models": sorted(path.name for path in own.glob("*")),
        "program": str(Path(__file__).parents[2]),
    }


def _speed() -> Section:
    """Time the default model on the device that `nsp denoise` would take for a large photo."""
    from nsp_cli.api import load_backend
    from nsp_cli.cli.batch.estimate import seconds_per_megapixel

    try:
        backend = load_backend()
        runtime = {part: str(getattr(backend, part)) for part in ("name", "device")}
        seconds = seconds_per_megapixel(backend)
    except Exception as error:
        return _failure(error)
    return {
        "runtime": runtime["name"],
        "device": runtime["device"],
        "seconds_per_megapixel": round(seconds, 3),
    }


def _verdict(right: bool) -> Section:
    return {"runs": True} if right else {"runs": False, "error": "it gives a wrong result"}


def _failure(error: Exception) -> Section:
    lines = str(error).strip().splitlines()
    return {"runs": False, "error": f"{type(error).__name__}: {lines[0] if lines else 'no message'}"}


def _gb(size: float) -> float:
    return round(size / 1e9, 2)


def _print(report: dict[str, Section]) -> None:
    for title, section in report.items():
        out.print(title)
        for name, value in section.items():
            out.print(plain(f"  {name:<26}{_spelled(value)}"))


def _spelled(value: object) -> str:
    if isinstance(value, dict):
        parts: Section = value
        if parts.get("runs") is False:
            rest = {name: part for name, part in parts.items() if name not in ("runs", "error")}
            parts = {**rest, "fails": parts["error"]}
        return ", ".join(_part(name, part) for name, part in parts.items())
    if isinstance(value, list):
        items: list[object] = value
        return ", ".join(map(str, items)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace(str(Path.home()), "~")  # a bug report need not have the user's name


def _part(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name}: {_spelled(value)}"

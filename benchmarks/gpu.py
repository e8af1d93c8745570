"""Megapixels a second on a GPU, of the networks alone and of the engine around them, in under a minute.

    python benchmarks/gpu.py [--device cuda] [--models fast best nsp] [--seconds 45] [--compile] [--quick]

It needs torch, NumPy, OpenCV, psutil and safetensors, and no photos. "network": a tile lies on the device already, and
`methods.Pipeline` runs in inference mode. The share is that of the FLOP/s of a large matrix product in the same number
format, measured in the same run. "engine": `engine.process` on an 8-bit photo in the computer's memory, with
conversion, transfers and blending; "without a network" is the same with a backend that gives its input back. Rows
appear as they are measured. Those that do not fit into `--seconds` are left out. `--quick` tries every row on a small
tile, once.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

if find_spec("platformdirs") is None:  # only for the folder of imported models, none of which is opened here
    sys.modules["platformdirs"] = SimpleNamespace(user_data_dir=str)  # pyright: ignore[reportArgumentType]

from nsp_cli.engine.backends.base import Backend
from nsp_cli.engine.backends.device import Precision
from nsp_cli.engine.backends.torch_backend import TorchBackend
from nsp_cli.engine.blending import Blend
from nsp_cli.engine.loading import build_pipeline
from nsp_cli.engine.process import process
from nsp_cli.image.frame import Frame
from nsp_cli.model import registry
from nsp_cli.model.checkpoint import load_model
from nsp_cli.model.spec import Task
from nsp_cli.noise.estimate import luma_level

_TOGETHER = 4
_COMPILING = 25.0  # s that torch.compile may take before its row is measured
_BLEND = Blend(noise=8.0)  # given, so that the engine does not measure it in every row
_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Variant:
    """A way to run a pipeline."""

    precision: str = "bf16"
    channels_last: bool = True
    graph: bool = False
    tuned: bool = False
    compile: bool = False

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "contiguous"
        return ", ".join([self.precision, layout, *(n for n in ("tuned", "graph", "compile") if getattr(self, n))])


@contextmanager
def numbers(variant: Variant, device: torch.device) -> Generator[None]:
    """Set the number format for what runs inside."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = variant.precision == "tf32"
    torch.backends.cudnn.benchmark = variant.tuned
    dtype = _DTYPES[variant.precision]
    half = dtype is not torch.float32
    amp = torch.bfloat16 if not half else dtype
    with torch.inference_mode(), torch.autocast(device.type, amp, enabled=half, cache_enabled=not variant.graph):
        yield


def synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device, least: float) -> float:
    """Mean seconds of a call, after one that warms up, over at least `least` seconds and one call."""
    call()
    synchronize(device)
    count, started = 0, time.perf_counter()
    while not count or (time.perf_counter() - started < least and count < 200):
        for _ in range(4 if least else 1):
            call()
        synchronize(device)
        count += 4 if least else 1
    return (time.perf_counter() - started) / count


def captured(pipeline: Callable[[Tensor], Tensor], tile: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """Capture a forward pass on `tile`, which keeps its place; the result is where each replay writes it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            pipeline(tile)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = pipeline(tile)
    return graph, result


def open_pipeline(model: str, device: torch.device) -> nn.Module:
    network, spec = load_model(registry.resolve(model, Task.DENOISE))
    return build_pipeline(network, spec, Task.DENOISE, {}, model).to(device).eval()  # pyright: ignore[reportAttributeAccessIssue]


def time_network(pipeline: nn.Module, variant: Variant, side: int, device: torch.device, least: float) -> float:
    """Seconds of one tile that lies on the device."""
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    pipeline.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    planes: int = pipeline.spec.planes  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
    tile = torch.rand(1, planes, side, side, device=device).contiguous(memory_format=layout)
    with numbers(variant, device):
        if variant.graph:
            graph, _ = captured(pipeline, tile)
            return seconds_of(graph.replay, device, least)
        forward = torch.compile(pipeline) if variant.compile else pipeline
        return seconds_of(partial(forward, tile), device, least)


def flops_a_pixel(pipeline: nn.Module, device: torch.device, side: int = 256) -> float:
    planes: int = pipeline.spec.planes  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipeline(torch.rand(1, planes, side, side, device=device))
    return counter.get_total_flops() / side**2


def matmul_rate(precision: str, device: torch.device, side: int, least: float) -> float:
    """FLOP/s of a product of two square matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=_DTYPES[precision]) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return 2 * side**3 / seconds_of(lambda: a @ b, device, least)


@dataclass
class GraphBackend:
    """A pipeline in half precision as CUDA graphs, one for each size of tile, through page-locked memory."""

    pipeline: nn.Module
    device: torch.device
    variant: Variant
    _graphs: dict[tuple[int, ...], tuple[Tensor, Tensor, torch.cuda.CUDAGraph, Tensor, Tensor]] = field(
        default_factory=dict
    )

    @property
    def spec(self) -> Any:
        return self.pipeline.spec

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        if tile.shape not in self._graphs:
            there = torch.empty(tile.shape, device=self.device).contiguous(memory_format=torch.channels_last)
            with numbers(self.variant, self.device):
                graph, result = captured(lambda x: self.pipeline(x).float().contiguous(), there.fill_(0.5))
            here, back = torch.empty(tile.shape, pin_memory=True), torch.empty(result.shape, pin_memory=True)
            self._graphs[tile.shape] = here, there, graph, result, back
        here, there, graph, result, back = self._graphs[tile.shape]
        here.copy_(torch.from_numpy(tile))
        there.copy_(here, non_blocking=True)
        graph.replay()
        back.copy_(result, non_blocking=True)
        torch.cuda.synchronize()
        return back.numpy().copy()

    def free_bytes(self) -> int:
        return torch.cuda.mem_get_info(self.device)[0]


@dataclass
class Nothing:
    """Gives the photo back: what is left is the engine's own work."""

    spec: Any

    def run(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return tile[:, : self.spec.channels]

    def free_bytes(self) -> int:
        return 10**10


def row(cells: list[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def left(args: Namespace) -> float:
    return args.seconds - (time.time() - psutil.Process().create_time())


def plan_networks(models: list[str], gpu: bool, quick: bool, compiled: bool) -> list[tuple[str, Variant, int]]:
    """List which model runs in which way on which side of tile: all ways for the first model, a few for the others."""
    usual = 128 if quick else 1024
    plain = [
        Variant("fp32", False),
        Variant("fp32"),
        Variant("tf32"),
        Variant("bf16", False),
        Variant(),
        Variant("fp16"),
    ]
    graphs = [Variant(graph=True), Variant("fp16", graph=True), Variant("fp16", tuned=True, graph=True)] if gpu else []
    best = [*plain, *graphs][-1]
    first, *others = models
    return [
        *((first, variant, usual) for variant in (*plain, *graphs)),
        *((first, best, side) for side in ([64] if quick else [512, 896, 2048, 4096])),
        *((model, variant, usual) for model in others for variant in (Variant("fp32"), Variant(), best)),
        *([(first, Variant(compile=True), usual)] if compiled else []),
    ]


def networks(args: Namespace, device: torch.device) -> None:
    """Print the table of the networks alone."""
    least = 0.0 if args.quick else 0.2
    row(["network alone", "tile", "ms", "MP/s", "TFLOP/s", "% of a matrix product"])
    row(["---"] * 6)
    pipelines: dict[str, nn.Module] = {}
    flops: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for model, variant, side in plan_networks(args.models, device.type == "cuda", args.quick, args.compile):
        name = f"{model}, {variant}"
        if left(args) < (_COMPILING if variant.compile else args.seconds / 2):
            row([name, side, "left out: no time", "", "", ""])
            continue
        if model not in pipelines:
            pipelines[model] = open_pipeline(model, device)
            flops[model] = flops_a_pixel(pipelines[model], device)
        if variant.precision not in peaks:
            peaks[variant.precision] = matmul_rate(variant.precision, device, 256 if args.quick else 8192, least / 4)
        try:
            seconds = time_network(pipelines[model], variant, side, device, least)
        except Exception as error:  # each runtime has its own; the other rows matter
            row([name, side, f"failed: {str(error)[:90]}", "", "", ""])
            continue
        rate = side**2 / seconds
        done = flops[model] * rate
        share = 100 * done / peaks[variant.precision]
        row([name, side, f"{1e3 * seconds:.2f}", f"{rate / 1e6:.1f}", f"{done / 1e12:.1f}", f"{share:.0f}"])


def backends(models: list[str], device: torch.device, quick: bool) -> Iterator[tuple[str, Callable[[], Backend], int]]:
    """Yield names, functions that open a backend, and sides of tile (0: the engine's choice)."""
    opened = {model: partial(open_pipeline, model, device) for model in models}
    yield "without a network", lambda: Nothing(opened[models[0]]().spec), 0
    gpu = device.type == "cuda"
    half = Precision.FP16 if gpu else Precision.BF16
    for model in models:
        first = model == models[0]
        for way in (Precision.FP32, Precision.BF16, half)[:: 1 if gpu else 2] if first else (half,):
            yield f"{model}, TorchBackend, {way}", lambda m=model, w=way: TorchBackend(opened[m](), device, w), 0
        for side in (0, 2048)[: 2 if first and not quick else 1] if gpu else ():
            variant = Variant("fp16", graph=True)
            yield f"{model}, graph, fp16", lambda m=model, v=variant: GraphBackend(opened[m](), device, v), side


def engine(args: Namespace, device: torch.device) -> None:
    """Print the table of the whole engine."""
    height, width = (128, 192) if args.quick else (4000, 6000)
    frame = Frame(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    row([f"engine, {height}x{width}, 8 bit", "tile", "s", "MP/s"])
    row(["---"] * 4)
    for name, open_one, side in backends(args.models, device, args.quick):
        if left(args) < 5:
            row([name, side or "auto", "left out: no time", ""])
            continue
        try:
            call = partial(process, frame, open_one(), _BLEND, tile=side)
            call()
            row([name, side or "auto", *spent_on(call, frame.megapixels)])
        except Exception as error:
            row([name, side or "auto", f"failed: {str(error)[:90]}", ""])
    row(["the noise level alone", "", *spent_on(partial(luma_level, frame.pixels), frame.megapixels)])
    backend = TorchBackend(open_pipeline(args.models[0], device), device, Precision.BF16)

    def several() -> None:
        with ThreadPoolExecutor(_TOGETHER) as pool:
            list(pool.map(lambda _: process(frame, backend, _BLEND), range(_TOGETHER)))

    name = f"{args.models[0]}, TorchBackend, bf16, {_TOGETHER} photos in threads"
    row([name, "auto", *spent_on(several, _TOGETHER * frame.megapixels)])


def spent_on(call: Callable[[], object], megapixels: float) -> list[str]:
    started = time.perf_counter()
    call()
    spent = time.perf_counter() - started
    return [f"{spent:.3f}", f"{megapixels / spent:.1f}"]


def main() -> None:
    flags = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    flags.add_argument("--device", default="cuda")
    flags.add_argument("--models", nargs="+", default=["fast", "best", "nsp"])
    flags.add_argument("--seconds", type=float, default=45.0, help="for everything, imports included (%(default)s)")
    flags.add_argument("--compile", action="store_true", help="torch.compile too, which takes half a minute by itself")
    flags.add_argument("--quick", action="store_true", help="small tiles, one call each: whether the script runs")
    args = flags.parse_args()
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}\n", flush=True)
    networks(args, device)
    print(flush=True)
    engine(args, device)
    print(f"\n{args.seconds - left(args):.0f} s", flush=True)


if __name__ == "__main__":
    main()

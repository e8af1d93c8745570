"""Write trained weights into `weights/`, as float16, with their entry in manifest.json.

    python examples/ship_weights.py TRAINED NAME --photos "training data" --licence "terms" --quality "figures" …

The other arguments for each model:

    fast           --graph denoise --halo 80
    best           --ensemble 8 --coarse-chroma --graph denoise --halo 80, from the weights of fast
    fast-sr        --default-for direct --graph direct
    quick          --default-for denoise --graph denoise --halo 174
    fast-research  --coarse-chroma --graph denoise --halo 80
    nsp            --coarse-chroma --default-for shuffle shuffle-denoise
    nsp-student    --coarse-chroma --graph denoise

`benchmarks/halo.py PHOTOS/train` measures the halo of a model without coarse chroma. `quantize_weights.py --ship NAME`
writes the int8 graphs. That of best has the weights of fast: copy OUT/fast-int8.state to OUT/best-int8.state, and run
`quantize_weights.py weights/best.safetensors PHOTOS/clean OUT --steps 700 --ship best`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from nsp_cli.engine.export.onnx_file import export
from nsp_cli.engine.loading import build_pipeline
from nsp_cli.model.checkpoint import load_model, save_model
from nsp_cli.model.registry import sha256
from nsp_cli.model.spec import ModelSpec, Task

WEIGHTS = Path(__file__).parents[1] / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("name")
    for text in ("photos", "licence", "quality"):
        parser.add_argument(f"--{text}", required=True)
    parser.add_argument("--ensemble", type=int, help="ship it with this setting of the method `simulated`")
    parser.add_argument("--coarse-chroma", action="store_true", help="ship it with this setting of its method")
    parser.add_argument("--halo", type=int, default=0, help="effective halo in pixels, by benchmarks/halo.py")
    parser.add_argument("--default-for", nargs="*", default=[], choices=list(Task), help="tasks")
    parser.add_argument("--graph", nargs="*", default=[], choices=list(Task), help="tasks for onnxruntime too")
    arguments = parser.parse_args()

    network, spec = load_model(arguments.trained)
    if arguments.ensemble is not None:
        spec = replace(spec, method_args={**spec.method_args, "ensemble": arguments.ensemble})
    if arguments.coarse_chroma:
        spec = replace(spec, method_args={**spec.method_args, "coarse_chroma": True})
    spec = replace(spec, halo=arguments.halo)
    target = WEIGHTS / f"{arguments.name}.safetensors"
    save_model(network, spec, target, torch.float16)
    graphs = {task: f"{arguments.name}-{task}.onnx" for task in arguments.graph}
    for task, name in graphs.items():
        shipped, _ = load_model(target)  # rounded to float16
        pipeline = build_pipeline(shipped, spec, Task(task), {}, name)
        export(pipeline, spec, WEIGHTS / name, weights=target, overwrite=True)
    size = sum(p.numel() for p in network.parameters())
    entry = {
        "name": arguments.name,
        "file": target.name,
        "sha256": sha256(target),
        "method": _method(spec),
        "network": f"{spec.network}, {size / 1e6:.2f} M",
        "photos": arguments.photos,
        "licence": arguments.licence,
        "quality": arguments.quality,
        "default_for": arguments.default_for,
        "graphs": graphs,
    }
    manifest = WEIGHTS / "manifest.json"
    models = json.loads(manifest.read_text())["models"] if manifest.exists() else []
    for model in models:
        model["default_for"] = [task for task in model["default_for"] if task not in arguments.default_for]
    if any(model["name"] == arguments.name for model in models):
        models = [entry if model["name"] == arguments.name else model for model in models]
    else:
        models.insert(0 if Task.DENOISE in arguments.default_for else len(models), entry)
    manifest.write_text(json.dumps({"models": models}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {size} parameters")


def _method(spec: ModelSpec) -> str:
    notes = [str(spec.method_args["strategy"])] if "strategy" in spec.method_args else []
    notes += [f"{count}-fold self-ensemble" for count in [spec.method_args.get("ensemble", 1)] if count > 1]
    notes += ["coarse chroma"] if spec.method_args.get("coarse_chroma") else []
    return f"{spec.method} ({', '.join(notes)})" if notes else spec.method


if __name__ == "__main__":
    main()

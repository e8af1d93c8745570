"""Runtimes: `base.Backend` is what the engine asks for, torch and onnxruntime are what there is."""

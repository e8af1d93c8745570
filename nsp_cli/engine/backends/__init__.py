"""Runtimes: the protocol `base.Backend`, and its implementations by PyTorch, onnxruntime and OpenVINO."""

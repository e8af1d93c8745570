"""Write models for other programs: ONNX in float32 and int8, and packages for darktable."""

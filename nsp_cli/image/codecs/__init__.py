"""One module for each file format: bytes to `Frame` and back."""

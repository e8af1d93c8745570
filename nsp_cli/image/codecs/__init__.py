"""The file formats: bytes to `Frame` and back."""

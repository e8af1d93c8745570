"""Run a pipeline over a photo: tiles, runtimes, blending, export."""

"""Measure the noise of a photo."""

"""Simulated cameras and synthetic scenes, for which the clean photo is known."""

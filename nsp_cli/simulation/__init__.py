"""Simulated cameras and synthetic scenes, where the clean answer is known."""

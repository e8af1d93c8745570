"""Models: their specification, their files, their names, and published checkpoints."""

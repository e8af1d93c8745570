"""Pure functions on photos and tensors: PD, cells, padding, tiles."""

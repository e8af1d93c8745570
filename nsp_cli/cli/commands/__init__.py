"""The commands of `nsp`."""

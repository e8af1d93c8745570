"""Metrics, published data sets and submission files."""

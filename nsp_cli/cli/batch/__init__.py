"""Plan, run and summarize a batch of photos."""

"""The HTML page of a batch, before and after."""

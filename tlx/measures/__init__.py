"""Statistics of predictions, as pure functions."""

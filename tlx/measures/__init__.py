"""Statistics of predictions: pure functions."""

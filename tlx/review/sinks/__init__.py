"""Destinations of a review: plain files, TensorBoard and the run's other loggers."""

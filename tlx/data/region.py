"""A part of an image."""

Region = tuple[int, int, int, int]  # top, left, height and width in pixels

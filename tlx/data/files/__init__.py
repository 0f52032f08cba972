"""Find the image files below a folder. Only the standard library."""

"""Read image files and check them. Only `images` imports torch."""

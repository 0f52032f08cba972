"""Use a finished run: evaluate it on the test split, predict new images."""

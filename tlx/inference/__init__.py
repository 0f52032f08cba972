"""What a finished run is used for: the test split, new images."""

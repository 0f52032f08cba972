"""Which files below a folder are images. Only the standard library."""

"""Sources of images: each format has a file with its keys, its checks, and the function that loads it."""

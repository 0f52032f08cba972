"""What is drawn for an image, and done to it: resizing, distortion; random numbers of one item."""

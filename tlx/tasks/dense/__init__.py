"""What tasks share that work on maps instead of one vector an image: segmentation, and detection."""

"""What a person looks at: curves in TensorBoard, a table of epochs, the review of a finished run."""

"""Where a review is written: plain files, TensorBoard and what else a run logs to."""

"""From samples to batches: order, reading processes, memory, the way to the device."""

"""The Trainer, and what tlx determines before it starts: `auto` values, devices, memory, learning rates."""

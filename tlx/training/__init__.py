"""The Trainer and what is settled before it starts: devices, memory, layout, precision, rates."""

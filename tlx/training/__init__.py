"""The Trainer and what is settled before it starts: `auto`, devices, memory, rates."""

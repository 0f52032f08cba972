"""What happens in a training beside its steps: stages, checkpoints, tables, each a callback of Lightning."""

"""Lightning callbacks for everything in a training except its steps: stages, checkpoints, curves, tables."""

"""Tasks: backbone + head + loss + metrics as a LightningModule; one file a task on one small base."""

from tlx.tasks.classification import Classification

__all__ = ["Classification"]

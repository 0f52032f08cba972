"""Boxes with classes: detectors on the maps of a backbone, their metrics, review and predictions."""

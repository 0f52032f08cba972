"""The files of a run directory, read as what they are: text from anywhere. No torch, no Hydra."""

from tlx.records.files import read_config, read_environment, read_metrics, read_model, read_status
from tlx.records.reading import MEGABYTE, check, read_json, read_yaml, unreadable

__all__ = [
    "MEGABYTE",
    "check",
    "read_config",
    "read_environment",
    "read_json",
    "read_metrics",
    "read_model",
    "read_status",
    "read_yaml",
    "unreadable",
]

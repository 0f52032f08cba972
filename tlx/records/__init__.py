"""Read the files of a run directory as text that may come from anybody. Imports neither torch nor Hydra."""

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

"""Configuration: compose conf/, check all of it, name the run. Importing this does not import torch."""

from tlx.config.compose import check_command_line, compose, for_hydra, options

__all__ = ["check_command_line", "compose", "for_hydra", "options"]

"""Configuration: compose conf/, check it whole, name the run. Importing this imports no torch."""

from tlx.config.compose import check_command_line, compose, for_hydra, options

__all__ = ["check_command_line", "compose", "for_hydra", "options"]

"""Sweeps: many runs from one command with any launcher, and the tables of their results."""

"""Sweeps: many runs from one command, by whichever launcher, and what came out of them."""

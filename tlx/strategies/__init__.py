"""Strategies: which layer groups train in which stage, at which learning rates. Importing this imports no torch."""

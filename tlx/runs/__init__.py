"""Runs as a user sees them: opened, listed, resumed, with their ancestors."""

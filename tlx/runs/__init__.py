"""Open, list and resume runs, and show the runs that they come from."""

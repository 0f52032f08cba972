"""Planted faults: what `make test` must notice. One a file; `make faults` plants each in a copy of the tree."""

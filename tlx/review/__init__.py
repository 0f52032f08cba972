"""The review of a finished run: its figures, pictures and tables, written to files and loggers."""

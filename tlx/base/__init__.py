"""Errors, text, files and processes, for use in every room. Imports no other room."""

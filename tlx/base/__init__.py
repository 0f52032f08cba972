"""What every room may use: errors, text, files, processes. No other room is imported here."""

"""What a configuration may build: names that are listed for each node, and what the user allows beside them."""

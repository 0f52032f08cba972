"""Build the nodes of a configuration: only names that are listed for a node, or that the user allows."""

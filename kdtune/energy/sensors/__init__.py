"""Energy sensors of a node."""

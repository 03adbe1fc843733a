"""Names of components, and what they stand for."""

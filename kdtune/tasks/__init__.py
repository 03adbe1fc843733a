"""Tasks: what a network's outputs mean, what they are trained on, and how good they are."""

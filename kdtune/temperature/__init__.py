"""Temperature policies, which choose tau for each step of a training."""

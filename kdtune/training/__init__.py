"""One training: its epochs and steps, numerics, compiled and captured steps, checkpoints."""

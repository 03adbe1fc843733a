"""Measurements and estimates that are made before a study runs: expected cost, numerics, and logit mode."""

"""Replays of searches on recorded trials, which train nothing and use no energy."""

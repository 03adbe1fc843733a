"""Measurements and estimates made before a study runs."""

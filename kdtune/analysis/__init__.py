"""Comparisons and statistics of results, measurements of inference, and the doctor's checks."""

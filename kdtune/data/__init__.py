"""Data sets, splits, and batches as tensor code on the training device."""

"""A study's folder on disk: its layout, its logs and its outcome."""

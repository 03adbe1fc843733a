"""Files, locks, checksums and paths: how things are stored, whatever they mean."""

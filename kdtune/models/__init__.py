"""Networks, one file per family of architectures."""

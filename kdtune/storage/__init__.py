"""Storage of files, independent of their content: atomic writes, locks, checksums, journals and paths."""

"""The ``kdtune`` command: one file a command, each calling one library function."""

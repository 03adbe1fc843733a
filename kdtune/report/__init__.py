"""Tables and the live display. This package reads results and runs nothing."""

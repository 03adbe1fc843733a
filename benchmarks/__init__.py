"""Speed and overhead, run by hand with ``make bench``; results are kept as JSON with the machine described."""

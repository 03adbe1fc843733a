"""The report: one HTML page about the results of studies, which needs no network."""

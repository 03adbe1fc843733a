"""Conformance suites, as pytest classes: what kdtune requires of components that are not built in."""

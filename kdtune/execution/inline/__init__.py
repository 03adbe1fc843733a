"""Runs a study in the calling process, without Ray."""

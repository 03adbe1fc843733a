"""Runs a study in the very process that asked for it, without Ray."""

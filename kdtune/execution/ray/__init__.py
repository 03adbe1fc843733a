"""Runs trials on Ray, and meters every node of its cluster."""

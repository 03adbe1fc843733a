"""Strategies: which trainings are tried. One small file each, one protocol for all."""
